"""`autoreg status` on runs in every state, Ctrl-C, and --resume by folder and by MLflow run."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from autoreg import experiment
from autoreg.baselines.record import DIVERGED, FINISHED, Record, TrialRow
from autoreg.choice import choose
from autoreg.cli import main
from autoreg.config import load_config
from autoreg.errors import InputError
from autoreg.reporting.watch import Watch
from autoreg.status import read_status

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

CONFIG = Path(__file__).parents[1] / "launchers" / "configs" / "smoke.yaml"
ROUNDS = 24
SETTINGS = [f"search.rounds={ROUNDS}", "search.finalists=1", "search.finalist_steps=2", "workers.local=true",
            "workers.count=1"]  # fmt: skip


def started(*arguments: object) -> subprocess.Popen:
    """`autoreg` in a process of its own, as in a CI log: not on a terminal."""
    command = [sys.executable, "-m", "autoreg", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Where tests run in the background, SIGINT is ignored, and children inherit that.
    return subprocess.Popen(command, **pipes, preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL))


def wait_for_round(folder: Path, process: subprocess.Popen, number: int) -> None:
    end = time.monotonic() + 120
    while not any(int(path.stem[-6:]) >= number for path in folder.glob("checkpoints/round_*.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_interrupted_and_resumed_to_the_end(flat_phantoms, tmp_path):
    folder = tmp_path / "run"
    settings = [word for value in [*SETTINGS, f"tracking.home={tmp_path / 'home'}"] for word in ("--set", value)]
    process = started("search", CONFIG, "--dataset", flat_phantoms, "--output", folder, *settings)
    wait_for_round(folder, process, 2)
    running = read_status(folder)
    assert (running.state, running.resume) == ("running", None)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    killed = read_status(folder)
    assert killed.rounds_done is not None
    assert (killed.state, killed.rounds_total) == ("killed", ROUNDS)
    assert killed.resume == f"autoreg search --resume {folder}"

    process = started("search", "--resume", folder)
    wait_for_round(folder, process, killed.rounds_done + 3)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 1
    interrupted = read_status(folder)
    assert interrupted.state == "interrupted"
    assert interrupted.rounds_done is not None and interrupted.device_hours is not None
    assert killed.rounds_done < interrupted.rounds_done < ROUNDS
    end = f"round {interrupted.rounds_done} of {ROUNDS} is saved; go on with: autoreg search --resume {folder}"
    assert said.splitlines()[-1] == f"autoreg: interrupted; {end}"
    assert "device-hours" in said
    assert all(character.isprintable() or character == "\n" for character in out + said)
    assert "Traceback" not in said

    home = ["--set", f"tracking.home={tmp_path / 'home'}"]
    done = CliRunner().invoke(main, ["search", "--resume", interrupted.mlflow_run, *home, "--quiet"])
    assert done.exit_code == 0, done.output
    finished = read_status(folder)
    assert (finished.state, finished.rounds_done, finished.seconds_left) == ("finished", ROUNDS, None)
    assert finished.mlflow_run == running.mlflow_run
    assert finished.device_hours is not None and finished.device_hours > interrupted.device_hours > 0
    assert set(finished.loss_weights) >= {"lncc", "smoothness"}
    told = json.loads(CliRunner().invoke(main, ["status", str(folder), "--json"]).output)
    assert (told["state"], told["workers"], told["problems"]) == ("finished", 1, [])

    damaged = folder / "history.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert [str(damaged) in problem for problem in read_status(folder).problems] == [True]
    (folder / "result.json").write_text('{"command": "sea')
    worse = read_status(folder)
    assert (worse.state, len(worse.problems), worse.resume) == ("damaged", 2, None)
    assert worse.device_hours == finished.device_hours
    told = CliRunner().invoke(main, ["status", str(folder)])
    assert told.exit_code == 0
    assert "problems:" in told.output


def test_a_tuning_under_way_tells_its_trials_and_the_best(tmp_path):
    record = Record(tmp_path / "trials.parquet", ["learning_rate"])
    ended = {"good": FINISHED, "better": FINISHED, "bad": DIVERGED}
    for trial, (name, status) in enumerate(ended.items()):
        metrics = {} if name == "bad" else {"score": trial + 80.0, "val_dice": 0.7 + trial / 10, "folds_percent": 0.0}
        record.write(TrialRow(trial, {"learning_rate": 1e-3}, status, metrics))
    record.write(TrialRow(3, {"learning_rate": 1e-3}))
    (tmp_path / "config.yaml").write_text("tune: {trials: 10}\n")
    (tmp_path / "result.json").write_text('{"command": "tune", "status": "running"}')
    told = read_status(tmp_path).text()
    assert (told["state"], told["trials"], told["Dice"]) == ("killed", "3 of 10", "0.8000")
    (tmp_path / "trials.parquet").write_bytes(b"PAR1")
    torn = read_status(tmp_path)
    assert torn.trials_done is None
    assert [str(tmp_path / "trials.parquet") in problem for problem in torn.problems] == [True]


class _Stopped(Watch):
    """Presses Ctrl-C after the first round."""

    def counter(self, description):
        def count(done, total, row=None):
            raise KeyboardInterrupt

        return count


def test_a_training_goes_on_by_its_folder_alone(flat_phantoms, tmp_path):
    settings = ["workers.local=true", "workers.count=1", "train.steps=8", "train.steps_per_round=2"]
    config = load_config(CONFIG, [*settings, f"tracking.home={tmp_path / 'home'}"])
    source = {"name": "s", "device_seconds": {"search": 5.0}, "mlflow_run_id": None}
    choice = choose(config, network="all-conv3")
    choice = type(choice)(choice.network, choice.loss_weights | {"smoothness": 0.5}, source)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        experiment.train(config, choice, dataset=flat_phantoms, output=folder, watch=_Stopped())
    assert read_status(folder).resume == f"autoreg train --resume {folder}"
    done = CliRunner().invoke(main, ["train", "--resume", str(folder), "--quiet"])
    assert done.exit_code == 0, done.output
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["network"], result["loss_weights"]["smoothness"]) == ("finished", "all-conv3", 0.5)
    assert result["device_seconds"]["search"] == 5.0
    assert read_status(folder).rounds_done == 4


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("nowhere", "expected a run's folder or the id of its MLflow run"),
        ("0" * 32, "expected a folder with mlflow.db"),
    ],
)
def test_what_cannot_be_resumed_says_why(tmp_path, named, words):
    named = str(tmp_path / named) if named == "nowhere" else named
    told = CliRunner().invoke(main, ["search", "--resume", named, "--set", f"tracking.home={tmp_path}"])
    assert told.exit_code == 2
    assert words in told.output


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="expected the folder of an autoreg run"):
        read_status(tmp_path)


def test_a_run_that_left_only_its_configuration(tmp_path):
    (tmp_path / "config.yaml").write_text("search: {}\n")
    status = read_status(tmp_path)
    assert status.state == "damaged"
    assert "result.json: cannot be read" in status.problems[0]
