"""The dataset.json of what a survey found."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreg.data.dataset import SPLITS
from autoreg.data.entries import EXPLICIT
from autoreg.intake.survey import Scan, Survey

_NUMBER_COLUMNS, _NAME_COLUMNS = ("index", "number", "label", "value", "id"), ("name", "structure", "abbreviation")


def describe(
    survey: Survey, *, name: str, names: Mapping[int, str], splits: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The content of a dataset.json; paths are relative to the surveyed folder.

    Args:
        names: of label numbers; others are called by their number.
        splits: people by split.
    """
    codes = modality_codes(survey.scans)
    split_of = {person: split for split, people in splits.items() for person in people}
    people = {scan.subject: scan.person for scan in survey.scans}
    labels = {"0": "background"} | {str(n): names.get(n, f"label {n}") for n in survey.numbers}
    described: dict[str, Any] = {"name": name, "labels": labels}
    if len(codes) > 1:
        described["modality"] = {str(int(code)): str(modality) for modality, code in codes.items()}
    for split in SPLITS:
        described[split] = [subject for subject, person in people.items() if split_of[person] == split]
    for split, field in EXPLICIT.items():
        described[field] = [_files(scan, codes) for scan in survey.scans if split_of[scan.person] == split]
    if any(subject != person for subject, person in people.items()):
        described["subjects"] = people
    return described


def modality_codes(scans: Sequence[Scan]) -> dict[str | None, str]:
    """Four digits by modality, as the files' names have them or counted in the order of the names."""
    found = sorted({scan.modality for scan in scans}, key=lambda modality: modality or "")
    if all(modality and modality.isdecimal() for modality in found):
        return {modality: str(modality) for modality in found}
    return {modality: f"{number:04d}" for number, modality in enumerate(found)}


def label_names(folder: Path) -> dict[int, str]:
    """Names by number of the first table of labels in a folder: labels.tsv, dseg.tsv (BIDS) or labels.csv."""
    for pattern, delimiter in (("labels.tsv", "\t"), ("*dseg.tsv", "\t"), ("labels.csv", ",")):
        for path in sorted(folder.glob(pattern)):
            names = _read_names(path, delimiter)
            if names:
                return names
    return {}


def _read_names(path: Path, delimiter: str) -> dict[int, str]:
    with path.open(newline="", errors="replace") as file:
        rows = list(csv.DictReader(file, delimiter=delimiter))
    columns = {str(column).strip().lower(): column for column in rows[0]} if rows else {}
    number = next((columns[name] for name in _NUMBER_COLUMNS if name in columns), None)
    name = next((columns[name] for name in _NAME_COLUMNS if name in columns), None)
    if number is None or name is None:
        return {}
    return {int(row[number]): row[name] for row in rows if (row[number] or "").strip().isdecimal() and row[name]}


def _files(scan: Scan, codes: Mapping[str | None, str]) -> dict[str, str]:
    files = {"image": str(scan.image)}
    if scan.labels:
        files["label"] = str(scan.labels)
    files["subject"] = scan.subject
    if len(codes) > 1:
        files["modality"] = codes[scan.modality]
    return files
