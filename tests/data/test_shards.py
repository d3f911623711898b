import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from autoreg.data import shards
from autoreg.data.dataset import DataConfig, load_dataset
from autoreg.data.nifti import write_nifti
from autoreg.data.prepare import load_volume
from autoreg.data.shards import build_cache, node_copy, open_cache
from autoreg.errors import DataError

IDS = ["b", "a", "c"]


@pytest.fixture
def config(tmp_path):
    return DataConfig(cache=str(tmp_path / "cache"))


@pytest.fixture
def dataset(write_dataset, config, tmp_path):
    path = write_dataset(IDS, labelled=["a", "c"], train=IDS)
    write_nifti(tmp_path / "images" / "c.nii.gz", np.arange(20).reshape(4, 5), np.diag([2.0, 3.0, 1.0, 1.0]))
    write_nifti(tmp_path / "labels" / "c.nii.gz", np.ones((4, 5), np.uint8), np.eye(4))
    return load_dataset(path, config)


def test_volumes_come_back_whatever_their_shape(dataset, config):
    store = open_cache(build_cache(dataset, config))
    assert list(store) == ["a", "b", "c"] and len(store) == 3 and "a" in store and "z" not in store
    for key in store:
        expected, got = load_volume(dataset.entries[key], config), store[key]
        for name in ("image", "foreground", "labels", "affine"):
            one, other = getattr(expected, name), getattr(got, name)
            assert (one is None) == (other is None)
            assert one is None or (one.dtype == other.dtype and np.array_equal(one, other))


def test_nothing_is_copied_and_nothing_can_be_written(dataset, config):
    store = open_cache(build_cache(dataset, config))
    before = pa.total_allocated_bytes()
    volume = store["c"]
    again = store["c"]
    assert pa.total_allocated_bytes() == before
    for name in ("image", "foreground", "labels", "affine"):
        array = getattr(volume, name)
        assert not array.flags.owndata and not array.flags.writeable
        assert array.ctypes.data == getattr(again, name).ctypes.data
    with pytest.raises(ValueError, match="read-only"):
        volume.image[0, 0] = 1


def test_cache_is_reused_until_data_or_settings_change(dataset, config, tmp_path, write_dataset):
    path = build_cache(dataset, config)
    written = path.stat().st_mtime_ns
    assert build_cache(dataset, config) == path and path.stat().st_mtime_ns == written
    assert build_cache(dataset, replace(config, pairs=None, allow_outside=True)) == path
    assert build_cache(dataset, replace(config, percentiles=(0, 100))) != path
    assert build_cache(dataset, replace(config, foreground="all")) != path
    assert build_cache(load_dataset(write_dataset(["a", "b"], train=["a"])), config) != path
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_default_folder_is_the_environment_s(dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOREG_CACHE", str(tmp_path / "elsewhere"))
    assert build_cache(dataset, DataConfig()).parent == tmp_path / "elsewhere"
    monkeypatch.delenv("AUTOREG_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert build_cache(dataset, DataConfig()).parent == tmp_path / "home" / ".cache" / "autoreg"


def test_name_of_the_dataset_cannot_leave_the_folder(dataset, config, tmp_path):
    path = build_cache(replace(dataset, name="../../evil name"), config)
    assert path.parent == tmp_path / "cache"


def test_only_one_of_several_builds(dataset, config, monkeypatch):
    loaded = []
    monkeypatch.setattr(shards, "load_volume", lambda *args: loaded.append(args[0].key) or load_volume(*args))
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: build_cache(dataset, config), range(4)))
    assert len(paths) == 1 and loaded == ["a", "b", "c"]


def test_full_disk_leaves_nothing_behind(dataset, config, monkeypatch, tmp_path):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=rf"{tmp_path}/cache/tiny-\w+.arrow: cache: .*No space left on device"):
        build_cache(dataset, config)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    monkeypatch.undo()
    assert build_cache(dataset, config).is_file()


def test_folder_that_cannot_be_made(dataset, tmp_path):
    with pytest.raises(DataError, match="cache: cannot be written"):
        build_cache(dataset, DataConfig(cache=str(tmp_path / "dataset.json")))


def test_bad_volume_is_named_and_leaves_nothing_behind(dataset, config, tmp_path):
    (tmp_path / "images" / "b.nii.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"images/b.nii.gz: file"):
        build_cache(dataset, config)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("content", [None, b"", b"something else" * 9])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "a.arrow"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.arrow: file: expected a cache of volumes"):
        open_cache(path)


def test_other_tables_are_refused(tmp_path):
    path = tmp_path / "a.arrow"
    table = pa.table({"x": [1]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match=r"a.arrow: columns: expected .*'key'.* got \['x'\]"):
        open_cache(path)


def test_a_node_keeps_a_copy_of_its_own(tmp_path, monkeypatch):
    shared = tmp_path / "shared" / "volumes.arrow"
    shared.parent.mkdir()
    shared.write_bytes(b"volumes")
    assert node_copy(shared) == shared
    monkeypatch.setenv("AUTOREG_NODE_CACHE", str(tmp_path / "node"))
    copy = node_copy(shared)
    assert (copy.parent, copy.read_bytes()) == (tmp_path / "node", b"volumes")
    shared.unlink()
    assert node_copy(shared) == copy  # read once
    with pytest.raises(DataError, match=r"other\.arrow: cache of this node: cannot be copied"):
        node_copy(tmp_path / "other.arrow")
    assert not (tmp_path / "node" / "other.arrow").exists()
