"""What the page of a comparison shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

import pandas as pd

from autoreg.reporting.comparison import INITIAL, Comparison
from autoreg.reporting.console import cell
from autoreg.reporting.evaluation_page import boxes_by_label, comparison_card, label_names, pair_sections
from autoreg.reporting.figures import dice_boxes, quality_against_cost
from autoreg.reporting.page import Picture, Section, picture
from autoreg.reporting.systems import System

TITLE = "AutoReg: comparison of systems"


def comparison_sections(comparison: Comparison, systems: Sequence[System]) -> list[Section]:
    """Sections in the order of a reader's questions: who is best, at what cost, is it true, how was it done."""
    first = systems[0]
    text = (
        f"{len(first.by_pair)} test pairs, labels {', '.join(map(str, sorted(first.labels)))} without background. Dice "
        "and HD95 are means over the labels of a pair, then over pairs; the interval is a bootstrap of the mean. "
        f"Costs are relative to {first.name} and include the runs that a system builds on."
    )
    sections = [
        Section("Systems", text=text, table=comparison.shown()),
        Section("Pictures", pictures=_pictures(comparison, systems)),
        Section(f"Against {first.name}", text="; ".join(comparison.findings()), table=comparison.tests),
        Section("Break-even", text="Trials that cost as much as search and training.", table=comparison.break_even),
        *(Section(f"Best of n trials: {name}", table=frame) for name, frame in comparison.curves.items()),
        *(section for system in systems for section in pair_sections(system.folder / "test", f"Pair: {system.name}")),
        Section("Evaluation card", facts=comparison_card(first.evaluation, sorted(first.labels), len(first.by_pair))),
        Section("Runs", facts={s.name: s.folder for s in systems}),
        Section("Commands to repeat", code=_commands(systems, comparison.output)),
    ]
    return [s for s in sections if s.table is None or len(s.table)]


def _pictures(comparison: Comparison, systems: Sequence[System]) -> list[Picture]:
    alt = "Validation Dice against device time: " + "; ".join(
        f"{p['system']} {p['value']:.3f} for {cell(p['device_seconds'])} device-seconds"
        for p in comparison.points.to_dict("records")
    )
    pictures = [picture(quality_against_cost(comparison.curves, comparison.points), alt)]
    boxes = _boxes(systems)
    if boxes["dice"].notna().any():
        best = comparison.table.sort_values("dice", ascending=False).iloc[0]
        alt = f"Test Dice by system; the highest mean is {best['system']} with {best['dice']:.3f}"
        pictures.append(picture(dice_boxes(boxes), alt))
        pictures.append(boxes_by_label(_by_label(systems), label_names(systems[0].evaluation)))
    return pictures


def _boxes(systems: Sequence[System]) -> pd.DataFrame:
    parts = [pd.DataFrame({"system": s.name, "dice": s.by_pair["dice"]}) for s in systems]
    if "initial_dice" in systems[0].by_pair:
        parts.insert(0, pd.DataFrame({"system": INITIAL, "dice": systems[0].by_pair["initial_dice"]}))
    return pd.concat(parts, ignore_index=True)


def _by_label(systems: Sequence[System]) -> Mapping[str, pd.DataFrame]:
    groups = {system.name: system.pairs for system in systems}
    pairs = systems[0].pairs
    if "initial_dice" in pairs:
        return {INITIAL: pairs.assign(dice=pairs["initial_dice"]), **groups}
    return groups


def _commands(systems: Sequence[System], output: Path) -> str:
    data = quote(str(systems[0].evaluation.get("dataset_path") or "D.json"))
    evaluations = [f"autoreg evaluate {quote(str(s.folder))} --dataset {data} --split test" for s in systems]
    folders = " ".join(quote(str(s.folder)) for s in systems)
    return "\n".join([*evaluations, f"autoreg compare {folders} --output {quote(str(output))}"])
