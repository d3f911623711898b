import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from autoreg.tracking import ledger as ledger_module
from autoreg.tracking.ledger import Ledger, read_costs


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cost.jsonl"


@pytest.fixture
def clock(monkeypatch):
    """`clock.now` is the time the ledger sees."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(ledger_module.time, "time", lambda: Clock.now)
    return Clock


def costs(useful, wasted):
    return {"device_seconds": useful, "wasted_seconds": wasted}


def test_bookings_add_up_by_phase(path):
    ledger = Ledger(path)
    ledger.add("search", "cpu", 10.0)
    ledger.add("search", "cpu", 10.0, wasted_seconds=1.0)
    ledger.add("train", "cuda", 5.0)
    assert ledger.totals() == {"search": costs(20.0, 1.0), "train": costs(5.0, 0.0)}
    assert ledger.total_device_seconds() == 26.0


def test_redone_work_becomes_wasted(path):
    ledger = Ledger(path)
    for seconds in (3.0, 4.0, 5.0):
        ledger.add("search", "cpu", seconds, key="round 1")
    ledger.add("search", "cpu", 7.0, key="round 2")
    ledger.add("train", "cpu", 2.0, key="round 1")  # another phase: other work
    assert ledger.totals() == {"search": costs(12.0, 7.0), "train": costs(2.0, 0.0)}


def test_an_empty_ledger(path):
    assert Ledger(path).totals() == {}
    assert Ledger(path).total_device_seconds() == 0.0


def test_a_reopened_ledger_goes_on(path):
    Ledger(path).add("search", "cpu", 1.0, key="round 1")
    Ledger(path).add("search", "cpu", 2.0, key="round 1")
    assert Ledger(path).totals() == {"search": costs(2.0, 1.0)}


@pytest.mark.parametrize("torn", ['{"phase": "search", "dev', '{"phase": "sea\xff', "7"])
def test_a_torn_last_line_costs_nothing_else(path, torn):
    Ledger(path).add("search", "cpu", 1.0)
    with path.open("ab") as file:
        file.write(torn.encode("latin-1"))
    ledger = Ledger(path)
    ledger.add("search", "cpu", 2.0)
    assert ledger.totals() == {"search": costs(3.0, 0.0)}


def test_unfinished_work_is_wasted_at_the_next_opening(path, clock):
    ledger = Ledger(path)
    ledger.begin("search", "round 3", 4, device="cuda")
    clock.now = 1010.0
    ledger.heartbeat()
    clock.now = 5000.0  # killed, and opened much later
    assert Ledger(path).totals() == {"search": costs(0.0, 40.0)}
    assert Ledger(path).totals() == {"search": costs(0.0, 40.0)}  # once only
    assert Ledger(path).to_frame()["device"].tolist() == ["cuda"]


def test_lost_time_stays_lost_after_the_work_is_redone(path, clock):
    Ledger(path).begin("search", "round 3", 1)
    clock.now = 1010.0
    Ledger(path)  # no heartbeat: nothing is known to be lost
    ledger = Ledger(path)
    ledger.begin("search", "round 3", 1)
    clock.now = 1013.0
    ledger.heartbeat()
    ledger = Ledger(path)
    ledger.add("search", "cpu", 5.0, key="round 3")
    assert ledger.totals() == {"search": costs(5.0, 3.0)}


def test_finished_work_is_not_wasted(path, clock):
    ledger = Ledger(path)
    ledger.begin("search", "round 3", 4)
    clock.now = 1010.0
    ledger.heartbeat()
    ledger.add("search", "cpu", 40.0, key="round 3")
    assert Ledger(path).totals() == {"search": costs(40.0, 0.0)}


def test_kill_between_booking_and_removal_counts_once(path, clock):
    ledger = Ledger(path)
    ledger.begin("search", "round 3", 4)
    clock.now = 1010.0
    ledger.heartbeat()
    open_file = path.with_name("cost.open.json")
    before = open_file.read_text()
    ledger.add("search", "cpu", 40.0, key="round 3")
    open_file.write_text(before)
    assert Ledger(path).totals() == {"search": costs(40.0, 0.0)}


def test_beginning_again_wastes_what_was_open(path, clock):
    ledger = Ledger(path)
    ledger.begin("search", "round 3", 2)
    clock.now = 1005.0
    ledger.begin("search", "round 3", 1)
    clock.now = 1006.0
    ledger.add("search", "cpu", 1.0, key="round 3")
    assert ledger.totals() == {"search": costs(1.0, 10.0)}


def test_other_work_leaves_the_open_piece_open(path, clock):
    ledger = Ledger(path)
    ledger.begin("search", "round 3", 1)
    ledger.add("data", "cpu", 1.0)
    clock.now = 1002.0
    ledger.heartbeat()
    assert Ledger(path).totals() == {"data": costs(1.0, 0.0), "search": costs(0.0, 2.0)}


@pytest.mark.parametrize("text", ["", "{"])
def test_an_unreadable_open_file_is_passed_over(path, text):
    path.with_name("cost.open.json").write_text(text)
    assert Ledger(path).totals() == {}


def test_looking_at_a_live_ledger_changes_nothing(path, clock):
    ledger = Ledger(path)
    ledger.begin("search", "round 3", 1)
    before = path.with_name("cost.open.json").read_text()
    assert read_costs(path).empty
    assert path.with_name("cost.open.json").read_text() == before


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_seconds_must_be_numbers(path, seconds):
    with pytest.raises(ValueError, match="device_seconds: expected"):
        Ledger(path).add("search", "cpu", seconds)


def test_parquet_has_the_columns_of_the_contract(path, tmp_path):
    ledger = Ledger(path)
    ledger.add("search", "cpu", 1.0, key="round 1")
    ledger.write_parquet(tmp_path / "cost.parquet")
    frame = pd.read_parquet(tmp_path / "cost.parquet")
    assert frame.to_dict("records") == [{"phase": "search", "device": "cpu", **costs(1.0, 0.0), "key": "round 1"}]


def test_a_line_is_on_disk_when_add_returns(tmp_path):
    code = """
import os, signal, sys
from pathlib import Path
from autoreg.tracking.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.add("search", "cpu", 1.5, key="round 1")
ledger.begin("search", "round 2", 1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "cost.jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert json.loads(path.read_text())["device_seconds"] == 1.5
    assert Ledger(path).totals() == {"search": costs(1.5, 0.0)}


def test_lost_work_is_wasted_at_once(path, clock):
    ledger = Ledger(path)
    ledger.lose()
    ledger.begin("search", "round 3", 2)
    clock.now = 1004.0
    ledger.lose()
    ledger.lose()
    assert ledger.totals() == {"search": costs(0.0, 8.0)}
