"""A dataset: who is in it, in which split, with which files and pairs."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from dataclasses import field as _field
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from autoreg.data.description import Description, Pairs
from autoreg.data.entries import Entry, find_entries
from autoreg.errors import ConfigError, DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_MOST_PAIRS = 40


@dataclass(frozen=True)
class DataConfig:
    """What may be said about a dataset beyond its dataset.json.

    Attributes:
        foreground: "positive" (intensity above 0) or "all".
        fixed_modality: four digits, such as "0000"; needed where a set has several and pairs are drawn.
        moving_modality: the same for the moving side.
        percentiles: of the foreground, mapped to 0 and 1.
        cache: folder of the prepared volumes; None is $AUTOREG_CACHE, else ~/.cache/autoreg.
        pairs: name of a list in dataset.json that stands in for `test_pairs`.
        allow_outside: files may lie outside the dataset's folder.

    Raises:
        ConfigError: if a value is not one of these.
    """

    foreground: Literal["positive", "all"] = "positive"
    fixed_modality: str | None = None
    moving_modality: str | None = None
    percentiles: tuple[float, float] = (0.5, 99.5)
    cache: str | None = None
    pairs: str | None = None
    allow_outside: bool = False

    def __post_init__(self) -> None:
        if self.foreground not in ("positive", "all"):
            raise ConfigError(f"data.foreground: expected positive or all, got {self.foreground!r}")
        if len(self.percentiles) != 2 or not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ConfigError(f"data.percentiles: expected 0 <= low < high <= 100, got {self.percentiles!r}")


DEFAULTS = DataConfig()


@dataclass(frozen=True)
class Dataset:
    """The content of a dataset.json that was found to be sound.

    Attributes:
        path: the dataset.json.
        entries: scans by key.
        label_names: names by label number.
        train, val, test: subject ids.
        people: person by subject id; scans of one person share a role and are never paired at random.
        pair_lists: the lists of (fixed, moving) keys that dataset.json gives, by name.
        roles: subject ids by role, if dataset.json gives them.
        config: the settings it was loaded with.
        points: table of landmarks by key, where there is one.
    """

    path: Path
    name: str
    entries: dict[str, Entry]
    label_names: dict[int, str]
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    people: dict[str, str]
    pair_lists: dict[str, Pairs]
    roles: dict[str, tuple[str, ...]]
    config: DataConfig
    points: dict[str, Path] = _field(default_factory=dict)

    @property
    def root(self) -> Path:
        """Folder of the dataset."""
        return self.path.parent

    @property
    def modalities(self) -> tuple[str, ...]:
        """Four-digit names of all modalities, sorted."""
        return tuple(sorted({entry.modality for entry in self.entries.values()}))

    @property
    def same_subject(self) -> tuple[tuple[str, ...], ...]:
        """Groups of two or more ids that are one person."""
        groups: dict[str, list[str]] = {}
        for subject, person in sorted(self.people.items()):
            groups.setdefault(person, []).append(subject)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over dataset.json and path, size and content of every file."""
        digest = hashlib.sha256(_content_hash(self.path))
        for _, entry in sorted(self.entries.items()):
            for path in filter(None, (entry.image_path, entry.label_path, self.points.get(entry.key))):
                name = Path(os.path.relpath(path, self.root)).as_posix()
                digest.update(f"\0{name}\0{path.stat().st_size}\0".encode() + _content_hash(path))
        return digest.hexdigest()

    def split(self, name: Split) -> tuple[str, ...]:
        """Subject ids of "train", "val" or "test"."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    def scans(self, subject: str) -> dict[str, Entry]:
        """Entries of a subject by modality."""
        return self._by_subject.get(subject, {})

    def labelled(self, subject: str) -> bool:
        """Whether the subject has scans, and each has a label map."""
        scans = self.scans(subject).values()
        return bool(scans) and all(entry.label_path is not None for entry in scans)

    def key(self, subject: str, modality: str | None) -> str:
        """Key of a subject's scan; `modality` may be None if the subject has one scan.

        Raises:
            DataError: if there is no such scan, or several and no modality was named.
        """
        scans = self.scans(subject)
        wanted = next(iter(scans)) if modality is None and len(scans) == 1 else modality
        if wanted not in scans:
            known = ", ".join(sorted(scans)) or "none, as this id is not in the dataset"
            raise DataError(f"{self.path}: modality of {subject}: expected one of {known}, got {modality}")
        return scans[wanted].key

    @cached_property
    def _by_subject(self) -> dict[str, dict[str, Entry]]:
        grouped: dict[str, dict[str, Entry]] = {}
        for entry in self.entries.values():
            grouped.setdefault(entry.subject, {})[entry.modality] = entry
        return grouped

    def pairs(self, split: Split) -> list[tuple[str, str]]:
        """(fixed, moving) keys of a split, as dataset.json lists them.

        Without a list: all ordered pairs of different people, or a fixed sample of 40 of them.
        """
        listed = self.pair_lists.get(self.config.pairs if split == "test" and self.config.pairs else f"{split}_pairs")
        return list(listed) if listed else sample_pairs(self.all_pairs(self.split(split)))

    def all_pairs(
        self, subjects: Iterable[str], *, fixed_modality: str | None = None, moving_modality: str | None = None
    ) -> list[tuple[str, str]]:
        """All ordered (fixed, moving) keys of different people, sorted by subject."""
        fixed = fixed_modality or self.config.fixed_modality
        moving = moving_modality or self.config.moving_modality
        return [
            (self.key(one, fixed), self.key(other, moving))
            for one, other in permutations(sorted(subjects), 2)
            if self.people[one] != self.people[other]
        ]


def sample_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs, or a sample of 40 that is the same each time."""
    if len(pairs) <= _MOST_PAIRS:
        return list(pairs)
    chosen = np.random.default_rng(0).choice(len(pairs), _MOST_PAIRS, replace=False)
    return [pairs[index] for index in sorted(chosen)]


def load_dataset(path: str | Path, config: DataConfig = DEFAULTS) -> Dataset:
    """The dataset of a dataset.json; image files must exist but are not opened.

    Example:
        dataset = load_dataset("phantoms/dataset.json")
        dataset.pairs("test")

    Raises:
        DataError: if something in it is wrong; names the first problem and how many more there are.
    """
    dataset, problems = read_dataset(path, config)
    if problems:
        rest = len(problems) - 1
        more = f" (and {rest} more problem{'s' if rest > 1 else ''})" if rest else ""
        raise DataError(problems[0] + more)
    return dataset


def read_dataset(path: str | Path, config: DataConfig = DEFAULTS) -> tuple[Dataset, list[str]]:
    """What can be used of a dataset.json, and every problem in it, one line each.

    Raises:
        DataError: if the file cannot be read at all.
    """
    description = Description(Path(path))
    splits = {split: description.ids(split) for split in SPLITS}
    listed = {subject: split for split, ids in splits.items() for subject in ids}
    entries, explicit = find_entries(description, listed, allow_outside=config.allow_outside)
    for split in SPLITS:
        if split not in description.values:  # then the explicit paths say who is in it
            splits[split] = tuple(s for s, given in explicit.items() if given == split and s not in listed)
    dataset = Dataset(
        path=description.path,
        name=description.text("name", default=description.path.parent.name),
        entries=entries,
        label_names=description.names("labels"),
        **splits,
        people=_people(description, {entry.subject for entry in entries.values()} | set(listed)),
        pair_lists={field: description.pairs(field) for field in _pair_fields(description, config)},
        roles=description.roles(),
        config=config,
        points=_points(description, entries, config),
    )
    _check_splits(description, dataset)
    _check_pairs(description, dataset)
    _check_modalities(description, dataset)
    return dataset, description.problems


def _pair_fields(description: Description, config: DataConfig) -> list[str]:
    fields = [field for field in description.values if field.split("_pairs")[0] in SPLITS and "_pairs" in field]
    if config.pairs is None or config.pairs in fields:
        return fields
    if config.pairs in description.values:
        return [*fields, config.pairs]
    description.note("data.pairs", f"a list of pairs ({', '.join(fields) or 'there is none'})", config.pairs)
    return fields


def _people(description: Description, subjects: set[str]) -> dict[str, str]:
    """Person by subject: `subjects` and `same_subject_rescans` together, each person named by the first id."""
    names = description.people()
    groups = [{s for s, person in names.items() if person == name} for name in set(names.values())]
    groups += [set(pair) for pair in description.pairs("same_subject_rescans")]
    for unknown in sorted(set().union(*groups) - subjects):
        description.note("subjects, same_subject_rescans", "ids of this dataset", unknown)
    people = {subject: subject for subject in subjects}
    for group in groups:
        joined = {people[subject] for subject in group & subjects}
        people |= {subject: min(joined) for subject, person in people.items() if person in joined}
    return people


def _points(description: Description, entries: dict[str, Entry], config: DataConfig) -> dict[str, Path]:
    """Tables of landmarks by key: existing files inside the dataset's folder."""
    root, good = description.path.parent, {}
    for key, name in description.paths("points").items():
        where, path = f"points.{key}", root / name
        try:
            inside = path.resolve().is_relative_to(root.resolve())
            exists = path.is_file()
        except (OSError, ValueError, RuntimeError):  # a loop of links, a null character
            inside = exists = False
        if key not in entries:
            description.note("points", "file stems of this dataset", key)
        elif not inside and not config.allow_outside:
            description.note(where, "a path inside the dataset's folder (or allow_outside)", name)
        elif not exists:
            description.note(where, "an existing file", name)
        else:
            good[key] = path
    return good


def _check_splits(description: Description, dataset: Dataset) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for split in SPLITS:
        for subject in dataset.split(split):
            before = seen.setdefault(dataset.people[subject], (split, subject))
            if before[0] != split:
                description.note(split, "people that are in no other split", f"{subject} ({before[1]} in {before[0]})")
    if not seen:
        description.note("train, val, test", "at least one subject", "none")


def _check_pairs(description: Description, dataset: Dataset) -> None:
    for field, pairs in dataset.pair_lists.items():
        split = next((split for split in SPLITS if field.startswith(f"{split}_pairs")), "test")
        members = set(dataset.split(split))  # type: ignore[arg-type]
        for key in sorted({key for pair in pairs for key in pair}):
            if key not in dataset.entries:
                description.note(field, "file stems of this dataset", key)
            elif dataset.entries[key].subject not in members:
                description.note(field, f"scans of the {split} split", key)


def _check_modalities(description: Description, dataset: Dataset) -> None:
    for field in ("fixed_modality", "moving_modality"):
        wanted = getattr(dataset.config, field)
        if wanted is not None and dataset.entries and wanted not in dataset.modalities:
            description.note(f"data.{field}", f"one of {', '.join(dataset.modalities)}", wanted)


def _content_hash(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{path}: file: cannot be read: {error.strerror}") from error
