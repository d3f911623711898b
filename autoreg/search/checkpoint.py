"""State of a run on disk: written whole or not at all, the last few kept, checked and read without unpickling."""

import hashlib
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoreg.errors import InputError
from autoreg.files import whole_file

logger = logging.getLogger(__name__)
_NAME = "round_{:06d}.pt"
_FORMAT = 3
"""Goes up when states can no longer be read as before."""
_MARK = b"sha256:"
_END = len(_MARK) + hashlib.sha256().digest_size


def save_checkpoint(folder: Path, finished_rounds: int, state: dict[str, Any], *, keep: int) -> Path:
    """Write the state after `finished_rounds` rounds; older files beyond `keep` are removed afterwards.

    Raises:
        StorageError: when the disk is full; the earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME.format(finished_rounds)
    content = io.BytesIO()
    torch.save(_convert(state | {"format": _FORMAT}, _to_torch), content)
    with whole_file(path) as file:
        file.write(content.getbuffer())
        file.write(_MARK + hashlib.sha256(content.getbuffer()).digest())
    for old in sorted(folder.glob("round_*.pt"))[:-keep]:
        old.unlink()
    return path


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest readable state, or None in an empty folder; a bad file is reported and the one before is used.

    Raises:
        InputError: when there are files and none can be read, or a version of AutoReg wrote them whose states differ.
    """
    found = sorted(folder.glob("round_*.pt"), reverse=True)
    for path in found:
        try:
            state = _read(path)
        except Exception as error:  # a bad file fails in many ways; the next older one may be whole
            logger.warning("%s: unreadable checkpoint (%s); trying the one before", path, error)
            continue
        if (written := state.pop("format", 0)) != _FORMAT:
            raise InputError(
                f"{path}: format: expected {_FORMAT}, got {written}: another version of AutoReg wrote it; go on with "
                "that version, or start anew with another --output"
            )
        return state
    if found:
        raise InputError(f"{folder}: none of {len(found)} checkpoints can be read")
    return None


def _read(path: Path) -> dict[str, Any]:
    """Raises ValueError when the content is not what was written: torch itself overlooks a flipped bit."""
    content = path.read_bytes()
    content, end = content[:-_END], content[-_END:]
    if end != _MARK + hashlib.sha256(content).digest():
        raise ValueError("checksum differs: cut short or changed")
    return _convert(torch.load(io.BytesIO(content), weights_only=True, map_location="cpu"), _to_numpy)


def _convert(value: Any, leaf: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {k: _convert(v, leaf) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_convert(v, leaf) for v in value]
    return leaf(value)


def _to_torch(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    return value.item() if isinstance(value, np.generic) else value


def _to_numpy(value: Any) -> Any:
    return value.numpy() if isinstance(value, torch.Tensor) else value
