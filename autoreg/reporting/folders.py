"""Run folders as readers see them: result.json and tables, with errors that say what to run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from autoreg.errors import InputError
from autoreg.tables import load_table


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a run folder.

    Raises:
        InputError: it is missing or not JSON.
    """
    path = Path(folder) / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: expected the result of an autoreg command in this folder, got no such file"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}") from error
    if not isinstance(result, dict):
        raise InputError(f"{path}: expected an object with fields, got {type(result).__name__}")
    return result


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file with names and values. Raises InputError when it is missing or something else."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: expected YAML, got: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected names and values, got {type(values).__name__}")
    return values


def read_table(path: Path, columns: Sequence[str], *, command: str) -> pd.DataFrame:
    """A Parquet table that must have these columns.

    Args:
        command: what the user runs to get the file.

    Raises:
        InputError: it is missing, unreadable or lacks a column.
    """
    if not path.exists():
        raise InputError(f"{path}: expected this file, got none; run: {command}")
    try:
        frame = load_table(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path}: expected a Parquet table, got: {str(error).partition(chr(10))[0]}") from error
    missing = [name for name in columns if name not in frame]
    if missing:
        raise InputError(f"{path}: expected a column {missing[0]!r}, got {', '.join(map(str, frame))}; run: {command}")
    return frame
