"""Faults of a whole search by the command line, with one worker in its process; those on Ray are in test_chaos."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from autoreg.config import load_config, shipped
from autoreg.errors import InputError
from autoreg.search.run import RunPlan, open_run

CONFIG = shipped("launchers") / "configs" / "smoke.yaml"
SETTINGS = ["workers.local=true", "search.rounds=12", "search.warmup_rounds=3", "search.finalists=1"]


def start(phantoms: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "autoreg", "search", str(CONFIG), "--dataset", str(phantoms), "--quiet"]
    for setting in [*SETTINGS, f"tracking.home={folder.parent / 'home'}"]:
        command += ["--set", setting]
    command += ["--output", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, error = process.communicate(timeout=240)
    return process.returncode, error


def await_round(folder: Path, process: subprocess.Popen[str]) -> None:
    while not list(folder.glob("checkpoints/round_*.pt")):
        assert process.poll() is None, end(process)
        time.sleep(0.02)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_search_goes_on_afterwards(flat_phantoms, tmp_path):
    calm, folder = tmp_path / "calm", tmp_path / "full"
    assert end(start(flat_phantoms, calm))[0] == 0
    process = start(flat_phantoms, folder)
    await_round(folder, process)
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (20_000, 20_000))
    code, error = end(process)
    assert code == 1
    assert "cannot be written" in error.splitlines()[-1]
    assert "--resume" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert end(start(flat_phantoms, folder, "--resume")) == (0, "")
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (folder / name).read_bytes() == (calm / name).read_bytes()
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"


def test_two_processes_in_one_folder_are_refused(tmp_path):
    plan = RunPlan("search", tmp_path / "run", 0, "d", "h", {}, "e", tracked=False)
    with open_run(plan, resume=False), pytest.raises(InputError, match="another process"), open_run(plan, resume=True):
        pass
    with open_run(plan, resume=True) as run:
        assert run.folder == tmp_path / "run"


def test_the_elastic_pool_is_checked_at_the_door():
    for overrides in (["workers.min=3", "workers.max=2"], ["workers.min=0"], ["workers.max=0"], ["workers.patience=0"]):
        with pytest.raises(InputError, match=r"workers\.\w+: expected"):
            load_config(CONFIG, overrides)
