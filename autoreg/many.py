"""Many pairs of files, registered one after the other."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from autoreg import registering
from autoreg.errors import AutoRegError, DataError, InputError
from autoreg.files import make_folder, result_file
from autoreg.registration.model import load_model
from autoreg.reporting.watch import Watch

_COLUMNS = ("fixed", "moving", "labels", "name")


def register_many(
    model_path: Path, pairs: Path, output: Path, *, watch: Watch | None = None, **results: Any
) -> dict[str, Any]:
    """Registers every pair of a table; each has its own folder in `output`, and `registered.csv` a row.

    A pair that cannot be registered does not stop the others.

    Args:
        pairs: CSV with the columns fixed and moving, and if wanted labels (of the moving image) and name (of the
            pair's folder; without it MOVING_to_FIXED). Paths count from the table's folder.
        results: what to write, as `registering.register` takes it; paths are names in a pair's folder.

    Returns:
        What to tell.

    Raises:
        InputError: if the table cannot be used, or in the end if any pair failed.
    """
    table = _read_pairs(pairs)
    model = load_model(model_path, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    count = (watch or Watch()).counter("register")
    rows: list[dict[str, Any]] = []
    for row in table.to_dict("records"):
        try:
            told = registering.register(model, **_paths(row, pairs.parent, output / row["name"], results))
            rows.append({"name": row["name"], **told, "error": None})
        except AutoRegError as error:
            rows.append({"name": row["name"], "error": " ".join(str(error).split())})
        with result_file(output / "registered.csv") as file:
            file.write(pd.DataFrame(rows).to_csv(index=False).encode())
        count(len(rows), len(table))
    failed = [row["error"] for row in rows if row["error"]]
    if failed:
        where = output / "registered.csv"
        raise InputError(f"{pairs}: {len(failed)} of {len(rows)} pairs failed, all in {where}; first: {failed[0]}")
    return {"pairs": len(rows), "folder": output, "table": output / "registered.csv"}


def _paths(row: dict[str, Any], root: Path, folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `registering.register`; makes the folder."""
    make_folder(folder)
    labels = root / row["labels"] if row["labels"] else None
    return {
        "fixed": root / row["fixed"],
        "moving": root / row["moving"],
        "labels": labels,
        **{name: folder / value if isinstance(value, Path) else value for name, value in results.items()},
    }


def _read_pairs(path: Path) -> pd.DataFrame:
    """A row a pair with fixed, moving, labels (may be empty) and name, all text."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise DataError(f"{path}: file: expected a CSV table, got: {' '.join(str(error).split())}") from error
    unknown = set(table.columns) - set(_COLUMNS)
    if unknown or not {"fixed", "moving"} <= set(table.columns) or table.empty:
        got = ", ".join(map(str, table.columns)) + (" and no row" if table.empty else "")
        raise DataError(f"{path}: columns: expected fixed, moving and if wanted labels, name, got {got}")
    empty = [
        f"row {i}" for i, row in enumerate(table.to_dict("records"), start=1) if not (row["fixed"] and row["moving"])
    ]
    if empty:
        raise DataError(f"{path}: fixed, moving: expected two files in every row, got none in {', '.join(empty)}")
    table = table.reindex(columns=list(_COLUMNS), fill_value="")
    table["name"] = [
        row["name"] or f"{_stem(row['moving'])}_to_{_stem(row['fixed'])}" for row in table.to_dict("records")
    ]
    twice = [name for name, number in Counter(table["name"]).items() if number > 1]
    if twice:
        raise DataError(f"{path}: name: expected one name a pair, got {twice[0]} twice; give a column name")
    return table


def _stem(file: str) -> str:
    return Path(file).name.removesuffix(".gz").removesuffix(".nii")
