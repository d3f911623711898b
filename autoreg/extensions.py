"""A user's own primitives, matches, cells and loss terms, from files that the user names on the command line.

Such a file is ordinary Python and calls `register_primitive`, `register_match`, `register_cell`, `register_similarity`
or `register_smoothness`. Only the command line and the calling program name one: a configuration, a search space or a
model that came from elsewhere can not run code.
"""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from autoreg.errors import InputError

_PREFIX = "autoreg_extension_"
_loaded: dict[str, None] = {}


def load_extensions(paths: Iterable[str | Path]) -> None:
    """Run each file once in this process.

    Raises:
        InputError: a file cannot be read, or fails; names it and the cause.
    """
    for given in paths:
        path = Path(given).resolve()
        if str(path) in _loaded:
            continue
        if not path.is_file():
            raise InputError(f"{given}: expected a Python file, got {'a folder' if path.is_dir() else 'none'}")
        spec = importlib.util.spec_from_file_location(f"{_PREFIX}{len(_loaded)}_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise InputError(f"{path}: expected a Python file (.py) with an extension")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever a user's code raises, they need to know where
            raise InputError(f"{path}: extension failed: {type(error).__name__}: {error}") from error
        _loaded[str(path)] = None


def loaded_extensions() -> tuple[str, ...]:
    """Paths, in the order of loading: what a worker elsewhere has to load too."""
    return tuple(_loaded)


def check_new(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises ValueError when a registry has the name already."""
    if name in known:
        raise ValueError(f"{kind} {name!r}: the name is taken; known: {', '.join(known)}")
