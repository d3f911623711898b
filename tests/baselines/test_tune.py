"""Studies on Ray, with a trial function that answers at once; what a real trial does is in test_train_trial."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from ray import cloudpickle

from autoreg.baselines.config import TuneConfig
from autoreg.baselines.record import DIVERGED, FAILED, FINISHED, STOPPED, Record
from autoreg.baselines.tune import Study, run_study
from autoreg.errors import DivergedError
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.tracker import MemoryTracker
from autoreg.workers.config import WorkerConfig

pytestmark = pytest.mark.ray
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes do not find this file
ROUNDS = 9
RANGES = {"x": FloatDistribution(0.01, 100.0, log=True)}


def answer(
    setup: Mapping[str, Any], parameters: Mapping[str, Any], folder: Path, report: Callable[[int, float], None]
) -> dict[str, float]:
    """Best at x = 3. Each call leaves a line in the folder, and a booking of two seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "calls").open("a") as calls:
        calls.write("call\n")
    number = int(folder.name)
    if number == setup.get("diverges"):
        raise DivergedError("lower", 1, 2)
    if number == setup.get("fails"):
        raise RuntimeError("no memory")
    time.sleep(setup.get("seconds", 0.0))
    score = -number if setup.get("worsens") else -abs(parameters["x"] - 3)
    for done in range(1, ROUNDS + 1):
        report(done, score)
    Ledger(folder / "cost.jsonl").add("train", "cpu", 2.0, key="round 0")
    return {"score": score, "val_dice": 0.5, "folds_percent": 0.0}


def run(
    folder: Path, *, tracker: MemoryTracker | None = None, trials: int = 4, asha: bool = False, **setup: Any
) -> Record:
    folder.mkdir(exist_ok=True)
    study = Study(
        folder=folder,
        config=TuneConfig(trials=trials, asha=asha),
        workers=WorkerConfig(),
        ranges=RANGES,
        first={"x": 10.0},
        rounds=ROUNDS,
        seed=0,
    )
    ledger, tracker = Ledger(folder / "cost.jsonl"), tracker or MemoryTracker()
    return run_study(
        answer, setup, study=study, ledger=ledger, tracker=tracker, progress=lambda done, total, said: None
    )


@pytest.fixture(scope="module")
def undisturbed(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return run(tmp_path_factory.mktemp("undisturbed")).to_frame()


def test_a_study_starts_at_the_defaults_and_stays_in_the_ranges(undisturbed: pd.DataFrame) -> None:
    assert undisturbed["trial"].tolist() == [0, 1, 2, 3]
    assert undisturbed["x"][0] == 10.0
    assert undisturbed["x"].between(0.01, 100).all()
    assert undisturbed["score"].tolist() == [-abs(x - 3) for x in undisturbed["x"]]
    assert undisturbed["device_seconds"].tolist() == [2.0] * 4


@pytest.mark.usefixtures("ray_cluster")
def test_a_diverging_trial_is_a_result_and_the_study_goes_on(tmp_path: Path) -> None:
    tracker = MemoryTracker()

    record = run(tmp_path, tracker=tracker, trials=2, diverges=0)

    assert [row.status for row in record.ended()] == [DIVERGED, FINISHED]
    assert record.to_frame()["score"].isna().tolist() == [True, False]
    assert [child.status for child in tracker.children] == ["FAILED", "FINISHED", "FINISHED"]  # the best one, tagged
    assert (tmp_path / "trials" / "000" / "calls").read_text().count("call") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_failing_trial_is_tried_again_and_then_given_up(tmp_path: Path) -> None:
    record = run(tmp_path, trials=2, fails=0)

    assert [row.status for row in record.ended()] == [FAILED, FINISHED]
    assert (tmp_path / "trials" / "000" / "calls").read_text().count("call") == 3


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_asha_stops_trials_that_are_worse_than_the_ones_before(tmp_path: Path) -> None:
    record = run(tmp_path, trials=3, asha=True, worsens=True)

    assert [row.status for row in record.ended()] == [FINISHED, STOPPED, STOPPED]
    assert record.best() == record.rows[0]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_study_goes_on_as_an_undisturbed_one(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    _kill_in_second_trial(tmp_path)
    assert [row.status for row in Record(tmp_path / "trials.parquet", ["x"]).rows.values()] == [FINISHED, "running"]

    record = run(tmp_path)

    shared = ["trial", "x", "score", "status", "device_seconds"]
    pd.testing.assert_frame_equal(record.to_frame()[shared], undisturbed[shared], check_exact=True)
    calls = [(tmp_path / "trials" / f"{n:03d}" / "calls").read_text().count("call") for n in range(4)]
    assert calls == [1, 2, 1, 1]
    assert Ledger(tmp_path / "cost.jsonl").to_frame()["key"].tolist() == [f"trial {n}" for n in range(4)]


def _kill_in_second_trial(folder: Path) -> None:
    here = Path(__file__)
    code = f"from {here.stem} import *; run(Path({str(folder)!r}), seconds=1.5)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parent), *sys.path])}
    log = (folder / "driver.log").open("w")
    driver = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=log)
    try:
        end = time.monotonic() + 90
        while not (folder / "trials" / "001" / "calls").exists():
            assert driver.poll() is None, (folder / "driver.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        log.close()
