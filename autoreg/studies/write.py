"""A study's files: table as Markdown, CSV and LaTeX, picture, card, pair lists; and its figures for MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from autoreg.files import whole_file
from autoreg.reporting.console import as_text
from autoreg.reporting.console import table as console_table
from autoreg.reporting.documents import as_latex, as_markdown
from autoreg.reporting.figures import png_bytes
from autoreg.search.run import write_json
from autoreg.studies.card import evaluation_card, pair_list, pairs_file
from autoreg.studies.study import Study
from autoreg.studies.table import Result, by_pair, differences, make_table, over_seeds, shown
from autoreg.studies.task import Task

_TRACKED = ("dice", "dice_sd", "dice_seed_sd", "hd95_mm", "folds_percent", "sdlogj", "seconds_a_pair", "p_holm")


@dataclass(frozen=True)
class Report:
    """A study's table, what follows from it, and what holds for it."""

    study: Study
    table: pd.DataFrame
    pairs: pd.DataFrame
    findings: list[str]
    card: Mapping[str, str]

    def text(self) -> str:
        """For a terminal."""
        rows = shown(self.table).to_dict("records")
        return "\n".join([as_text(console_table(rows)), *self.findings])  # type: ignore[arg-type]

    def metrics(self) -> dict[str, float]:
        """`task.system.figure` -> value, for tracking."""
        return {
            f"{row['task']}.{row['system'].replace('+', 'and')}.{name}": float(row[name])
            for row in self.table.to_dict("records")
            for name in (*_TRACKED, "total_device_seconds")
            if row[name] == row[name]
        }


def make_report(
    study: Study, tasks: Sequence[Task], results: Sequence[Result], failed: Sequence[str], seeds: Sequence[int]
) -> Report:
    """From the finished folders of the results."""
    pairs = by_pair(results)
    table = make_table(pairs, results, reference=study.reference)
    findings = [*differences(table, study.reference), *study.findings(table), *failed]
    number_of_tests = int(table["p_value"].notna().sum())
    card = evaluation_card(study, tasks, results, seeds=seeds, number_of_tests=number_of_tests)
    return Report(study, table, pairs, findings, card)


def write_tables(report: Report, folder: Path) -> None:
    """table.md, table.csv, table.tex and card.json, each whole or not at all."""
    notes = [f"{name}: {text}" for name, text in report.card.items()]
    readable = shown(report.table)
    markdown = [
        f"# Study: {report.study.name}", f"{report.study.question}.", as_markdown(readable),
        "\n".join(f"- {line}" for line in report.findings), "## Evaluation card",
        "\n".join(f"- {note}" for note in notes),
    ]  # fmt: skip
    _write(folder / "table.md", "\n\n".join(part for part in markdown if part) + "\n")
    _write(folder / "table.csv", report.table.to_csv(index=False))
    _write(folder / "table.tex", as_latex(readable, notes))
    write_json(folder / "card.json", report.card)


def write_rest(report: Report, tasks: Sequence[Task], folder: Path) -> None:
    """study.png, pairs.parquet (figures by seed and pair) and the pair lists."""
    figure = report.study.picture(report.table, over_seeds(report.pairs))
    with whole_file(folder / "study.png") as file:
        file.write(png_bytes(figure))
    with whole_file(folder / "pairs.parquet") as file:
        report.pairs.to_parquet(file, index=False)
    for task in tasks:
        _write(folder / pairs_file(task), pair_list(task).to_csv(index=False))


def written(tasks: Sequence[Task]) -> list[str]:
    """Names of the files of a finished study."""
    names = ["table.md", "table.csv", "table.tex", "card.json", "study.png", "pairs.parquet"]
    return [*names, *(pairs_file(task) for task in tasks)]


def _write(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text.encode())
