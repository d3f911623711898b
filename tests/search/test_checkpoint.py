import logging

import numpy as np
import pytest
import torch

from autoreg.errors import InputError, StorageError
from autoreg.search import checkpoint
from autoreg.search.checkpoint import load_checkpoint, save_checkpoint

STATE = {
    "rounds": 3,
    "driver": {"alpha": torch.ones(2, 2)},
    "workers": {"weights": {"w": np.arange(3.0)}},
    "history": [{"a": 1.5, "b": "x"}],
}


def test_round_trip_with_plain_values_only(tmp_path):
    save_checkpoint(tmp_path, 3, STATE, keep=2)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["rounds"] == 3
    assert loaded["history"] == STATE["history"]
    np.testing.assert_array_equal(loaded["workers"]["weights"]["w"], np.arange(3.0))


def test_only_the_last_are_kept(tmp_path):
    for done in range(1, 6):
        save_checkpoint(tmp_path, done, STATE, keep=2)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["round_000004.pt", "round_000005.pt"]


def test_a_torn_newest_file_is_reported_and_the_one_before_used(tmp_path, caplog):
    save_checkpoint(tmp_path, 1, STATE | {"rounds": 1}, keep=2)
    newest = save_checkpoint(tmp_path, 2, STATE | {"rounds": 2}, keep=2)
    newest.write_bytes(newest.read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["rounds"] == 1
    assert "round_000002.pt" in caplog.text


@pytest.mark.parametrize("place", [100, -200, -20])
def test_one_flipped_bit_is_noticed(tmp_path, caplog, place):
    save_checkpoint(tmp_path, 1, STATE | {"rounds": 1}, keep=2)
    newest = save_checkpoint(tmp_path, 2, STATE | {"rounds": 2}, keep=2)
    content = bytearray(newest.read_bytes())
    content[place] ^= 1
    newest.write_bytes(content)
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["rounds"] == 1
    assert "round_000002.pt: unreadable checkpoint (checksum differs" in caplog.text


def test_all_torn_is_an_error(tmp_path):
    path = save_checkpoint(tmp_path, 1, STATE, keep=2)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of 1 checkpoints"):
        load_checkpoint(tmp_path)


def test_an_empty_folder_has_no_state(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, STATE | {"rounds": 1}, keep=2)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"round_000002\.pt: cannot be written: No space"):
        save_checkpoint(tmp_path, 2, STATE, keep=2)
    monkeypatch.undo()
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded["rounds"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["round_000001.pt"]


def test_the_state_of_another_version_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_FORMAT", 7)
    save_checkpoint(tmp_path, 1, STATE, keep=2)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"round_000001\.pt: format: expected 3, got 7: another version"):
        load_checkpoint(tmp_path)
