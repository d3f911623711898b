"""A short part of `make chaos`: real nodes, workers, controllers and a store, all failing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parents[1] / "benchmarks" / "chaos.py"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_faults_leave_no_trace(tmp_path):
    output = tmp_path / "chaos"
    command = [sys.executable, str(CHAOS), "--faults", "8", "--seed", "1", "--variants", "search", "--output", output]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    faults = json.loads((output / "faults.json").read_text())
    assert len(faults) >= 8
    assert all(fault["seconds"] is not None for fault in faults)
