"""Prepared volumes in one memory-mapped Arrow file; the only module that knows pyarrow.

Arrow IPC without compression, one record batch of one row a volume. All processes of a machine share its pages.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from autoreg.data.dataset import DataConfig, Dataset
from autoreg.data.prepare import load_volume
from autoreg.data.volume import Volume
from autoreg.errors import DataError, StorageError
from autoreg.files import whole_file

_FORMAT = 1  # raise it when what is stored changes, so that old files are not used
_SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "shape": pa.list_(pa.int64()),
        "affine": pa.list_(pa.float64()),
        "image": pa.large_list(pa.float32()),
        "foreground": pa.large_list(pa.uint8()),
        "labels": pa.large_list(pa.int16()),
    }
)


class VolumeStore(Mapping[str, Volume]):
    """Volumes of a cache file by key, in sorted order. Arrays are read-only views of the file: nothing is copied."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            schema, count = self._reader.schema, self._reader.num_record_batches
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: file: expected a cache of volumes, got: {_one_line(error)}") from error
        if not schema.equals(_SCHEMA):
            raise DataError(f"{path}: columns: expected {_SCHEMA.names}, got {schema.names}")
        self._index = {self._column(i, "key")[0].as_py(): i for i in range(count)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def __getitem__(self, key: str) -> Volume:
        batch = self._reader.get_batch(self._index[key])
        shape = tuple(batch.column("shape")[0].as_py())
        labels = None if batch.column("labels").null_count else _view(batch, "labels").reshape(shape)
        return Volume(
            key=key,
            image=_view(batch, "image").reshape(shape),
            foreground=_view(batch, "foreground").reshape(shape),
            labels=labels,
            affine=_view(batch, "affine").reshape(4, 4),
        )

    def _column(self, index: int, name: str) -> pa.Array:
        return self._reader.get_batch(index).column(name)


def open_cache(path: str | Path) -> VolumeStore:
    """The volumes of a file that `build_cache` wrote.

    Raises:
        DataError: if it is not such a file.
    """
    return VolumeStore(path)


def build_cache(dataset: Dataset, config: DataConfig) -> Path:
    """Path of the cache file for this dataset and these settings, written if it is not there yet.

    Several processes may ask at once: one writes, the others wait for it. A file is complete or absent.

    Raises:
        DataError: if a volume cannot be used, or the cache folder not be written (a full disk, say).
    """
    path = _cache_folder(config) / f"{_file_stem(dataset, config)}.arrow"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if not path.exists():
                _write(path, dataset, config)
    except OSError as error:
        raise DataError(f"{path}: cache: cannot be written: {_one_line(error)}") from error
    return path


def node_copy(path: str | Path) -> Path:
    """The cache file, or its copy in the folder AUTOREG_NODE_CACHE of this node, made when it is not there yet.

    Workers map the file into memory and read it in every step: from a node's own disk, where the shared one is slow.

    Raises:
        DataError: it cannot be copied.
    """
    folder = os.environ.get("AUTOREG_NODE_CACHE")
    if not folder:
        return Path(path)
    source, copy = Path(path), Path(folder).expanduser() / Path(path).name
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with _locked(copy.with_suffix(".lock")):
            if not copy.exists():
                with whole_file(copy) as file, source.open("rb") as shared:
                    shutil.copyfileobj(shared, file, 2**24)
    except (OSError, StorageError) as error:
        raise DataError(f"{copy}: cache of this node: cannot be copied from {path}: {_one_line(error)}") from error
    return copy


def _cache_folder(config: DataConfig) -> Path:
    folder = config.cache or os.environ.get("AUTOREG_CACHE") or "~/.cache/autoreg"
    return Path(folder).expanduser()


def _file_stem(dataset: Dataset, config: DataConfig) -> str:
    settings = json.dumps([_FORMAT, dataset.fingerprint, config.foreground, list(config.percentiles)])
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", dataset.name)[:40]
    return f"{readable}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock that the system drops when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, dataset: Dataset, config: DataConfig) -> None:
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            with pa.ipc.new_file(file, _SCHEMA) as writer:
                for key in sorted(dataset.entries):
                    writer.write_batch(_record(load_volume(dataset.entries[key], config)))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _record(volume: Volume) -> pa.RecordBatch:
    columns = [
        pa.array([volume.key]),
        pa.array([list(volume.image.shape)], type=pa.list_(pa.int64())),
        pa.array([volume.affine.ravel().tolist()], type=pa.list_(pa.float64())),
        _flat(volume.image),
        _flat(volume.foreground),
        pa.nulls(1, _SCHEMA.field("labels").type) if volume.labels is None else _flat(volume.labels),
    ]
    return pa.record_batch(columns, schema=_SCHEMA)


def _flat(array: np.ndarray) -> pa.Array:
    return pa.LargeListArray.from_arrays([0, array.size], pa.array(array.ravel()))


def _view(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return batch.column(name).values.to_numpy(zero_copy_only=True)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
