"""Packages that only one peer needs: imported when it is opened, with a line on what to install."""

import importlib
import warnings
from typing import Any

from autoreg.errors import InputError


def optional(module: str, *, extra: str, install: str | None = None) -> Any:
    """The imported module. Raises InputError with the command that installs it: of the extra, where none is given."""
    try:
        with warnings.catch_warnings():  # some set filters for the whole program, or warn about their own code
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        install = install or f"pip install 'autoreg[{extra}]' (in a checkout: pip install -e '.[{extra}]')"
        raise InputError(f"{extra}: expected the packages of `{extra}`, got: {error}; {install}") from error
