"""Outcomes of all tasks, systems and seeds as one table: means and spread over seeds, paired tests over pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autoreg.reporting.console import cell
from autoreg.reporting.statistics import bootstrap_interval, holm, paired_test
from autoreg.reporting.systems import read_systems
from autoreg.studies.study import INITIAL
from autoreg.studies.system import Outcome

PHASES = ("search", "trials", "train", "register")
_OF_PAIR = ("dice", "hd95_mm", "folds_percent", "sdlogj", "seconds")


@dataclass(frozen=True)
class Result:
    """What came of a system on a task with a seed."""

    task: str
    system: str
    seed: int
    outcome: Outcome


def by_pair(results: Sequence[Result]) -> pd.DataFrame:
    """A row a task, system, seed and (fixed, moving) pair, labels averaged; the pairs as they are come as a system.

    Raises:
        InputError: systems of a task were not evaluated on the same pairs, labels and data.
    """
    frames = []
    for task in dict.fromkeys(result.task for result in results):
        own = [result for result in results if result.task == task]
        systems = read_systems([result.outcome.folder for result in own])
        frames.append(_rows(task, INITIAL, own[0].seed, _before(systems[0].by_pair)))
        frames += [_rows(task, r.system, r.seed, s.by_pair) for r, s in zip(own, systems, strict=True)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def over_seeds(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row a task, system and pair: means over seeds."""
    return pairs.groupby(["task", "system", "fixed", "moving"], sort=False)[list(_OF_PAIR)].mean().reset_index()


def make_table(pairs: pd.DataFrame, results: Sequence[Result], *, reference: str) -> pd.DataFrame:
    """A row a task and system, the pairs as they are first.

    Columns: task, system, seeds, pairs, dice (mean over pairs of the mean over seeds), dice_sd (between pairs),
    dice_low and dice_high (95 % bootstrap of the mean over pairs), dice_seed_sd (between the means of seeds; NaN for
    one), the same for hd95_mm and folds_percent without interval, sdlogj, seconds_a_pair (median of pairs),
    device-seconds by phase (means over seeds), difference to the reference with its interval, p_value and p_holm
    (over all tests of the study).

    Args:
        pairs: of `by_pair`.
    """
    rows = []
    for (task, system), own in pairs.groupby(["task", "system"], sort=False):
        costs = [r.outcome.device_seconds for r in results if (r.task, r.system) == (task, system)]
        against = pairs[(pairs["task"] == task) & (pairs["system"] == reference)]
        rows.append(
            {"task": task, "system": system, **_figures(own), **_costs(costs)}
            | (_difference(own, against) if system not in (reference, INITIAL) and len(against) else {})
        )
    columns = [*_figures(pairs), *_costs([]), "difference", "low", "high", "p_value"]
    table = pd.DataFrame(rows, columns=["task", "system", *columns])
    tested = table["p_value"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p_value"].tolist())
    return table.astype({"p_holm": float})


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table with units in its heads and short values, as people read it; columns without a value are left out."""
    full = pd.DataFrame([_shown_row(row) for row in table.to_dict("records")])
    return full.loc[:, [name for name in full if (full[name] != "-").any()]]


def differences(table: pd.DataFrame, reference: str) -> list[str]:
    """Differences to the reference, as sentences."""
    return [
        f"{row['task']}: {row['system']} - {reference}: {row['difference']:+.4f} Dice "
        f"[{row['low']:+.4f}, {row['high']:+.4f}], p = {cell(row['p_holm'])} (Wilcoxon, Holm, {row['pairs']} pairs)"
        for row in table.dropna(subset=["p_value"]).to_dict("records")
    ]


def _rows(task: str, system: str, seed: int, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index().assign(task=task, system=system, seed=seed)[
        ["task", "system", "seed", "fixed", "moving", *_OF_PAIR]
    ]


def _before(frame: pd.DataFrame) -> pd.DataFrame:
    values = {"dice": frame["initial_dice"], "hd95_mm": frame["initial_hd95_mm"]}
    return pd.DataFrame(values | {"folds_percent": 0.0, "sdlogj": 0.0, "seconds": float("nan")}, index=frame.index)


def _figures(own: pd.DataFrame) -> dict[str, Any]:
    """Of one task and system, from rows of `by_pair`."""
    means = own.groupby(["fixed", "moving"], sort=False)[list(_OF_PAIR)].mean()
    of_seed = own.groupby("seed")[list(_OF_PAIR)].mean()
    low, high = bootstrap_interval(means["dice"].to_numpy())
    figures: dict[str, Any] = {"seeds": len(of_seed), "pairs": len(means)}
    figures |= {"dice": means["dice"].mean(), "dice_sd": means["dice"].std(), "dice_low": low, "dice_high": high}
    figures |= {"dice_seed_sd": of_seed["dice"].std()}
    for name in ("hd95_mm", "folds_percent"):
        figures |= {name: means[name].mean(), f"{name}_seed_sd": of_seed[name].std()}
    return figures | {"sdlogj": means["sdlogj"].mean(), "seconds_a_pair": means["seconds"].median()}


def _costs(costs: Sequence[Any]) -> dict[str, float]:
    """Means over seeds, by phase and in all; NaN where nothing was spent."""
    phases = pd.DataFrame([dict(cost) for cost in costs], columns=list(PHASES)).mean()
    total = float(phases.sum()) if costs else float("nan")
    return {f"{phase}_device_seconds": float(phases[phase]) for phase in PHASES} | {"total_device_seconds": total}


def _difference(own: pd.DataFrame, against: pd.DataFrame) -> dict[str, float]:
    ours, theirs = (frame.groupby(["fixed", "moving"], sort=False)["dice"].mean() for frame in (own, against))
    test = paired_test(ours.to_numpy(), theirs.reindex(ours.index).to_numpy())
    low, high = test["interval"]
    return {"difference": test["mean_difference"], "low": low, "high": high, "p_value": test["p_value"]}


def _shown_row(row: dict[str, Any]) -> dict[str, str]:
    known = row["dice"] == row["dice"]
    return {
        "task": row["task"],
        "system": row["system"],
        "seeds": cell(row["seeds"]) if row["system"] != INITIAL else "-",
        "Dice (mean ± sd of pairs)": f"{row['dice']:.3f} ± {row['dice_sd']:.3f}" if known else "-",
        "95 % interval": f"{row['dice_low']:.3f} to {row['dice_high']:.3f}" if known else "-",
        "sd of seeds": _short(row["dice_seed_sd"]),
        "HD95 mm": _with_spread(row, "hd95_mm"),
        "folds %": _with_spread(row, "folds_percent"),
        "SDlogJ": _short(row["sdlogj"]),
        "s a pair": _short(row["seconds_a_pair"]),
        **{f"{phase} device-s": _short(row[f"{phase}_device_seconds"]) for phase in PHASES},
        "total device-s": _short(row["total_device_seconds"]),
        "difference": f"{row['difference']:+.4f}" if row["difference"] == row["difference"] else "-",
        "p (Holm)": _short(row["p_holm"]),
    }


def _with_spread(row: dict[str, Any], name: str) -> str:
    spread = row[f"{name}_seed_sd"]
    return _short(row[name]) + (f" ± {_short(spread)}" if spread == spread else "")


def _short(value: float) -> str:
    """Three digits; no dash where the value is 0."""
    return cell(float(f"{value:.3g}"))
