"""The launcher for one machine, run for real: head and worker node as processes of their own, a search on both."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from autoreg.config import shipped
from autoreg.launch import Cluster, launcher

CONFIG = shipped("launchers") / "configs" / "smoke.yaml"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_on_two_nodes_of_this_machine(flat_phantoms, tmp_path):
    output = tmp_path / "run"
    script = tmp_path / "start.sh"
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.read_text().replace("rounds: 8,", "rounds: 20,").replace("finalists: 2,", "finalists: 1,"))
    script.write_text(launcher("local", config, dataset=flat_phantoms, output=output, cluster=Cluster(nodes=2)))
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PATH": f"{programs}:{environment['PATH']}", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment["RAY_worker_niceness"] = "0"  # Ray gives workers the rest of a busy machine
    done = subprocess.run(
        ["bash", str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    result = json.loads((output / "result.json").read_text())
    assert result["status"] == "finished"
    assert pd.read_parquet(output / "history.parquet")["workers"].iloc[-1] == 2  # the second node may join later
    assert (output / "genotype.yaml").exists()
