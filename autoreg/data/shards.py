"""Prepared volumes in one memory-mapped Arrow file; the only module that knows pyarrow.

Arrow IPC without compression, one record batch of one row a volume. All processes of a machine share its pages.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from autoreg.data.dataset import DataConfig, Dataset
from autoreg.data.prepare import load_volume
from autoreg.data.volume import Volume
from autoreg.errors import DataError, StorageError
from autoreg.files import in_turn, whole_file
from autoreg.storage import Location, Store, as_location, folder_and_name, inside, is_uri, local_cache

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


def build_cache(dataset: Dataset, config: DataConfig) -> Location:
    """The cache file for this dataset and these settings, written if it is not there yet; open `node_copy` of it.

    Several processes may ask at once: one writes, the others wait for it. A file is complete or absent. With a URI as
    cache it is taken from there, or built here and shared there.

    Raises:
        DataError: if a volume cannot be used, or the cache folder not be written (a full disk, say).
        StorageError: the store of the cache does not answer.
    """
    folder, name = _cache_folder(config), f"{_file_stem(dataset, config)}.arrow"
    path = local_cache(config.cache) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(path.with_suffix(".lock")):
            shared = Store(str(folder)) if is_uri(folder) else None
            if not path.exists() and not (shared and _fetch(shared, name, path)):
                _write(path, dataset, config)
            if shared and shared.read(_mark(name)) is None:
                _share(shared, name, path)
    except OSError as error:
        raise DataError(f"{path}: cache: cannot be written: {_one_line(error)}") from error
    return inside(folder, name)


def node_copy(place: Location) -> Path:
    """The cache file, or its copy on this node, made when it is not there yet.

    That of a path lies in the folder AUTOREG_NODE_CACHE, if there is one: workers map the file into memory and read it
    in every step, from a node's own disk where the shared one is slow. That of a URI lies there or in the local cache.

    Raises:
        DataError: it cannot be copied.
        StorageError: its store does not answer.
    """
    place = as_location(place)
    folder = os.environ.get("AUTOREG_NODE_CACHE")
    if isinstance(place, Path) and not folder:
        return place
    copy = (Path(folder).expanduser() if folder else local_cache()) / Path(place).name
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(copy.with_suffix(".lock")):
            if not copy.exists():
                _copy(place, copy)
    except (OSError, StorageError) as error:
        raise DataError(f"{copy}: cache of this node: cannot be copied from {place}: {_one_line(error)}") from error
    return copy


def _copy(place: Location, copy: Path) -> None:
    if isinstance(place, Path):
        with whole_file(copy) as file, place.open("rb") as shared:
            shutil.copyfileobj(shared, file, 2**24)
        return
    folder, name = folder_and_name(place)
    if not _fetch(Store(folder), name, copy):
        raise DataError(f"{place}: file: expected a cache of volumes with its checksum, got none")


def _fetch(shared: Store, name: str, path: Path) -> bool:
    """Whether the store had the file whole; then it is at `path`."""
    mark, info = shared.read(_mark(name)), shared.info([name])
    if mark is None or not info:
        return False
    shared.download(name, path, info[name])
    if _digest(path) == mark:
        return True
    path.unlink()
    return False


def _share(shared: Store, name: str, path: Path) -> None:
    """The checksum comes last: what has one is complete."""
    shared.upload(name, path)
    shared.write(_mark(name), _digest(path))


def _mark(name: str) -> str:
    return f"{name}.sha256"


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _cache_folder(config: DataConfig) -> Location:
    given = as_location(config.cache or os.environ.get("AUTOREG_CACHE") or "~/.cache/autoreg")
    return given.expanduser() if isinstance(given, Path) else given


def _file_stem(dataset: Dataset, config: DataConfig) -> str:
    settings = json.dumps([_FORMAT, dataset.fingerprint, config.foreground, list(config.percentiles)])
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", dataset.name)[:40]
    return f"{readable}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"


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
