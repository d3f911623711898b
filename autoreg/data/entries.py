"""Which files belong to which subject and modality."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoreg.data.description import Description, Listed

ONLY_MODALITY = "0000"
EXPLICIT = {"train": "training", "val": "validation", "test": "testing"}
_SUFFIXED = re.compile(r"(.+)_(\d{4})")
_FOUR_DIGITS = re.compile(r"\d{4}")
_NAME = re.compile(r"(.+)\.nii(?:\.gz)?")


@dataclass(frozen=True)
class Entry:
    """One scan on disk. `key` is the file stem; `subject` the stem without the modality's four digits.

    Where dataset.json names the subject of a file, `key` is subject, or subject_modality.
    """

    key: str
    subject: str
    modality: str
    image_path: Path
    label_path: Path | None


def find_entries(
    description: Description, listed: Mapping[str, str], *, allow_outside: bool
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Entries by key: those with explicit paths, then `images/` and `labels/` for the other listed subjects.

    Problems (no file, a path out of the folder, one scan twice) go to `description.problems`.

    Args:
        description: the dataset.json.
        listed: name of the list by subject, for every id in a list.
        allow_outside: accept files outside the folder.

    Returns:
        The entries, and for each subject with explicit paths the split that they were given under.
    """
    finder = _Finder(description, listed, allow_outside)
    for split, field in EXPLICIT.items():
        for index, listed_files in enumerate(description.files(field)):
            finder.add_explicit(split, f"{field}[{index}]", listed_files)
    finder.add_from_folders()
    return finder.entries, finder.explicit


class _Finder:
    def __init__(self, description: Description, listed: Mapping[str, str], allow_outside: bool) -> None:
        self.description, self.listed, self.allow_outside = description, listed, allow_outside
        self.root = description.path.parent
        self.resolved_root = self.root.resolve()
        self.numbers = description.names("modality")
        self.entries: dict[str, Entry] = {}
        self.explicit: dict[str, str] = {}
        self.taken: set[tuple[str, str]] = set()

    def add_explicit(self, split: str, field: str, files: Listed) -> None:
        image_path = self._checked(f"{field}.image", self.root / files.image)
        label_path = None if files.label is None else self._checked(f"{field}.label", self.root / files.label)
        if image_path is None:
            return
        if files.modality is not None and not _FOUR_DIGITS.fullmatch(files.modality):
            return self.description.note(f"{field}.modality", "four digits, such as 0000", files.modality)
        entry = self._add(field, image_path, label_path, files)
        self.explicit.setdefault(entry.subject, split)

    def add_from_folders(self) -> None:
        images, labels = self._stems("images"), self._stems("labels")
        missing = self.listed.keys() - self.explicit.keys()
        found = {key: path for key, path in images.items() if self._split(key)[0] in missing}
        for key, path in found.items():
            image_path = self._checked(f"images/{path.name}", path)
            label_path = self._checked(f"labels/{labels[key].name}", labels[key]) if key in labels else None
            if image_path is not None:
                self._add(f"images/{path.name}", image_path, label_path)
        for subject in sorted(missing - {self._split(key)[0] for key in found}):
            expected = f"an image of each id, images/{subject}.nii.gz or images/{subject}_0000.nii.gz"
            self.description.note(self.listed[subject], expected, "no such file")

    def _add(self, field: str, image_path: Path, label_path: Path | None, files: Listed | None = None) -> Entry:
        key = _stem(image_path)
        subject, modality = self._split(key)
        if files and files.subject:  # then the name of the file says nothing
            subject, modality = files.subject, files.modality or ONLY_MODALITY
            key = f"{subject}_{modality}" if files.modality else subject
        entry = Entry(key, subject, modality, image_path, label_path)
        if (entry.subject, entry.modality) in self.taken:
            expected = f"one image for {entry.subject}, modality {entry.modality}"
            self.description.note(field, expected, f"a second one ({image_path.name})")
        else:
            self.taken.add((entry.subject, entry.modality))
            self.entries[key] = entry
        return entry

    def _split(self, key: str) -> tuple[str, str]:
        """Subject and modality. Ids may end in four digits too, so what the lists say goes first."""
        match = _SUFFIXED.fullmatch(key)
        if key not in self.listed and match and (match[1] in self.listed or int(match[2]) in self.numbers):
            return match[1], match[2]
        return key, ONLY_MODALITY

    def _checked(self, field: str, path: Path) -> Path | None:
        """The path if it may be used: a NIfTI name, an existing file, inside the dataset's folder."""
        try:
            inside = path.resolve().is_relative_to(self.resolved_root)
            exists = path.is_file()
        except (OSError, ValueError, RuntimeError):  # a loop of links, a null character
            inside = exists = False
        if not _NAME.fullmatch(path.name):
            self.description.note(field, "a .nii or .nii.gz file", path.name)
        elif not inside and not self.allow_outside:
            self.description.note(field, "a path inside the dataset's folder (or allow_outside)", str(path))
        elif not exists:
            self.description.note(field, "an existing file", str(path))
        else:
            return path
        return None

    def _stems(self, folder: str) -> dict[str, Path]:
        stems: dict[str, Path] = {}
        directory = self.root / folder
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if not _NAME.fullmatch(path.name):
                continue
            if _stem(path) in stems:
                self.description.note(folder, f"one file for {_stem(path)}", f"both .nii and .nii.gz ({path.name})")
            stems[_stem(path)] = path
        return stems


def _stem(path: Path) -> str:
    match = _NAME.fullmatch(path.name)
    assert match is not None  # only checked names come here
    return match[1]
