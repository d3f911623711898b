"""dataset.json, read with care: every mistake is collected, none is guessed away."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from autoreg.errors import DataError

Pairs = tuple[tuple[str, str], ...]
"""(fixed, moving) keys."""


@dataclass(frozen=True)
class Listed:
    """A scan with explicit paths; without subject and modality, its file name tells them."""

    image: str
    label: str | None = None
    subject: str | None = None
    modality: str | None = None


_LISTED = tuple(field.name for field in fields(Listed))


class Description:
    """The content of a dataset.json. Each method returns what is usable and adds the rest to `problems`.

    Raises:
        DataError: if the file is missing or is not one JSON object; nothing else can be said then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.values = _read_object(path)

    def note(self, field: str, expected: str, got: object) -> None:
        """Adds one problem, in the words of all our errors."""
        self.problems.append(f"{self.path}: {field}: expected {expected}, got {_short(got)}")

    def text(self, field: str, *, default: str) -> str:
        """A line of text."""
        value = self.values.get(field, default)
        if isinstance(value, str):
            return value
        self.note(field, "text", value)
        return default

    def ids(self, field: str) -> tuple[str, ...]:
        """A list of ids, each once; empty if the field is absent."""
        return self._ids(field, self.values.get(field, []))

    def pairs(self, field: str) -> Pairs:
        """A list of [fixed, moving], each once; empty if the field is absent."""
        good: dict[tuple[str, str], None] = {}
        for index, pair in enumerate(self._list(field, self.values.get(field, []))):
            where = f"{field}[{index}]"
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(key, str) for key in pair):
                self.note(where, "[fixed, moving]", pair)
            elif pair[0] == pair[1]:
                self.note(where, "two different ids", pair)
            elif tuple(pair) in good:
                self.note(where, "each pair once", pair)
            else:
                good[pair[0], pair[1]] = None
        return tuple(good)

    def files(self, field: str) -> list[Listed]:
        """The files of a list of {"image": ..., "label": ..., "subject": ..., "modality": ...}; or of plain paths."""
        good = []
        for index, item in enumerate(self._list(field, self.values.get(field, []))):
            item = {"image": item} if isinstance(item, str) else item
            given = {name: item.get(name) for name in _LISTED} if isinstance(item, dict) else {}
            image = given.pop("image", None)
            if isinstance(image, str) and all(value is None or isinstance(value, str) for value in given.values()):
                good.append(Listed(image, **given))
            else:
                self.note(f"{field}[{index}]", 'a path, or {"image": path, "label": path}', item)
        return good

    def names(self, field: str) -> dict[int, str]:
        """Names by number, as in {"1": "hippocampus"}."""
        good = {}
        for number, name in self._object(field).items():
            if number.isdecimal() and isinstance(name, str):
                good[int(number)] = name
            else:
                self.note(field, "numbers with names", {number: name})
        return good

    def paths(self, field: str) -> dict[str, str]:
        """Paths of files by key, as in {"s01": "points/s01.csv"}."""
        good = {}
        for key, path in self._object(field).items():
            if isinstance(path, str):
                good[key] = path
            else:
                self.note(f"{field}.{key}", "a path", path)
        return good

    def people(self) -> dict[str, str]:
        """Person by subject id, from `subjects`."""
        good = {}
        for subject, person in self._object("subjects").items():
            if isinstance(person, str):
                good[subject] = person
            else:
                self.note(f"subjects.{subject}", "the name of a person", person)
        return good

    def roles(self) -> dict[str, tuple[str, ...]]:
        """Ids by role, from `roles`."""
        return {role: self._ids(f"roles.{role}", value) for role, value in self._object("roles").items()}

    def _ids(self, field: str, value: object) -> tuple[str, ...]:
        good: dict[str, None] = {}
        for index, subject in enumerate(self._list(field, value)):
            if not isinstance(subject, str) or not subject:
                self.note(f"{field}[{index}]", "an id (text)", subject)
            elif subject in good:
                self.note(f"{field}[{index}]", "each id once", subject)
            else:
                good[subject] = None
        return tuple(good)

    def _list(self, field: str, value: object) -> list[Any]:
        if isinstance(value, list):
            return value
        self.note(field, "a list", value)
        return []

    def _object(self, field: str) -> Mapping[str, Any]:
        value = self.values.get(field, {})
        if isinstance(value, dict):
            return value
        self.note(field, "an object with names and values", value)
        return {}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: file: expected a dataset.json, got: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError: neither JSON nor Unicode
        raise DataError(f"{path}: file: expected JSON, got: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: file: expected a JSON object, got {_short(value)}")
    return value


def _short(value: object) -> str:
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
