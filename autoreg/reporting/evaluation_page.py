"""What a page shows of scored pairs: means, boxes, slices of one pair, and how it was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.reporting.card import MEASURES
from autoreg.reporting.console import cell
from autoreg.reporting.figures import dice_boxes, label_boxes
from autoreg.reporting.folders import read_table
from autoreg.reporting.page import Picture, Section, picture
from autoreg.reporting.slices import FILE, read_slices, slice_viewer

_DRAWN = {"before": "initial_dice", "registered": "dice"}
_FIGURES = ("initial_dice", "dice", "hd95_mm")


def evaluation_sections(run: Path, result: Mapping[str, Any]) -> list[Section]:
    """Of a folder with pairs.parquet; none without."""
    path = run / "pairs.parquet"
    if not path.exists():
        return []
    pairs = read_table(path, ["fixed", "moving", "label", "dice"], command=f"autoreg evaluate {run.parent}")
    names = label_names(result)
    return [
        _pairs(pairs, names),
        *pair_sections(run, "A typical pair"),
        Section("Evaluation card", facts=_card(pairs, result, names)),
    ]


def pair_sections(folder: Path, title: str) -> list[Section]:
    """The slices that an evaluation kept of one pair."""
    if not (folder / FILE).exists():
        return []
    text = "The pair whose Dice before registration is the median of all."
    return [Section(title, text=text, viewer=slice_viewer(read_slices(folder / FILE)))]


def label_names(result: Mapping[str, Any]) -> dict[int, str]:
    """Of the labels, as far as the evaluation knew."""
    return {int(number): f"{number} {name}" for number, name in (result.get("labels") or {}).items()}


def boxes_by_label(groups: Mapping[str, pd.DataFrame], names: Mapping[int, str]) -> Picture:
    """Boxes of Dice by label. Of each group: label, dice."""
    rows = pd.concat([frame[["label", "dice"]].assign(system=name) for name, frame in groups.items()])
    medians = rows.groupby(["system", "label"], sort=False)["dice"].median().unstack(0)
    said = "; ".join(
        f"{names.get(int(label), label)}: " + ", ".join(f"{system} {cell(float(v))}" for system, v in row.items())  # type: ignore[arg-type]
        for label, row in medians.iterrows()
    )
    return picture(label_boxes(rows, names), f"Dice by label, medians: {said}")


def _pairs(pairs: pd.DataFrame, names: Mapping[int, str]) -> Section:
    columns = [name for name in _FIGURES if name in pairs]
    by_label = pairs.groupby("label")[columns].mean().reset_index()
    by_label["label"] = [names.get(int(label), str(label)) for label in by_label["label"]]
    by_pair = pairs.groupby(["fixed", "moving"], sort=False)[columns].mean()
    if by_pair["dice"].isna().all():
        return Section("Pairs", text=f"{len(by_pair)} pairs without labels.")
    drawn = {system: column for system, column in _DRAWN.items() if column in columns}
    boxes = pd.concat([pd.DataFrame({"system": s, "dice": by_pair[c]}) for s, c in drawn.items()], ignore_index=True)
    mean = f"mean Dice {cell(float(by_pair['dice'].mean()))}"
    pictures = [picture(dice_boxes(boxes), f"Dice of {len(by_pair)} pairs, {mean}")]
    groups = {system: pairs.assign(dice=pairs[column]) for system, column in drawn.items()}
    pictures.append(boxes_by_label(groups, names))
    return Section("Pairs", text=f"{len(by_pair)} pairs; means by label:", table=by_label, pictures=pictures)


def _card(pairs: pd.DataFrame, result: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, object]:
    count = len(pairs[["fixed", "moving"]].drop_duplicates())
    facts = {
        "data": f"{result.get('dataset')}, SHA-256 {result.get('dataset_hash')} (dataset.json and all files)",
        "pairs": f"{count} of {result.get('split', 'test')}",
        "label maps": ", ".join(names.values()),
        "instance optimisation": f"{result['refine']} steps a pair and grid" if result.get("refine") else "none",
        **MEASURES,
        "seconds a pair": "median of the pairs, registration alone",
        "code": f"{result.get('version')} ({result.get('commit')})",
    }
    return {name: value for name, value in facts.items() if value}


def comparison_card(evaluation: Mapping[str, Any], labels: Sequence[int], count: int) -> dict[str, object]:
    """How the systems of a comparison were measured."""
    rows = pd.DataFrame({"fixed": range(count), "moving": range(count)})
    known = label_names(evaluation)
    return _card(rows, evaluation, {number: known.get(number, str(number)) for number in sorted(labels)})
