"""The whole way through real Ray actors and a real MLflow store, small."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

CONFIG = Path(__file__).parents[1] / "launchers" / "configs" / "smoke.yaml"
TIMES = ["seconds", "device_seconds", "sum_seconds"]


def autoreg(*arguments: object, code: int = 0, **options: Any) -> str:
    command = [sys.executable, "-m", "autoreg", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def refused(*arguments: object) -> str:
    """What a command that ends with code 2 says; in this process, which saves the start of one."""
    from click.testing import CliRunner

    from autoreg.cli import main

    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    return done.stderr


def history(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "history.parquet").drop(columns=TIMES)


def arguments(phantoms: Path, folder: Path, address: str | None = None) -> list[object]:
    home = f"tracking.home={folder.parent / 'home'}"
    given = [CONFIG, "--dataset", phantoms, "--output", folder, "--quiet", "--set", home]
    given += ["--set", "search.finalists=1"]  # tests/test_extensions.py runs finalists
    return [*given, "--address", address] if address else given


@pytest.fixture(scope="module")
def searched(phantoms, tmp_path_factory, ray_cluster) -> Path:
    folder = tmp_path_factory.mktemp("search") / "run"
    autoreg("search", *arguments(phantoms, folder, ray_cluster))
    return folder


def mlflow_client(folder: Path):
    from mlflow import MlflowClient

    return MlflowClient(json.loads((folder / "result.json").read_text())["mlflow_tracking_uri"])


@pytest.mark.ray
def test_search_leaves_the_promised_files(searched):
    result = json.loads((searched / "result.json").read_text())
    assert result["status"] == "finished"
    assert set(result["device_seconds"]) == {"search"}
    assert result["device_seconds"]["search"] > 0
    names = {"config.yaml", "genotype.yaml", "loss_weights.yaml", "history.parquet", "cost.parquet", "report.html"}
    assert names <= {path.name for path in searched.iterdir()}
    rows = history(searched)
    assert rows["phase"].tolist() == ["warm-up"] * 3 + ["search"] * 5
    assert rows["lambda.smoothness"].nunique() > 3
    weights = yaml.safe_load((searched / "loss_weights.yaml").read_text())
    assert weights["lncc"] == 1.0
    assert min(weights.values()) > 0


@pytest.mark.ray
def test_mlflow_has_every_round_once(searched):
    client = mlflow_client(searched)
    run_id = json.loads((searched / "result.json").read_text())["mlflow_run_id"]
    steps = [m.step for m in client.get_metric_history(run_id, "objective/train")]
    assert sorted(steps) == list(range(8))
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dataset_hash"]
    assert run.data.params["search.rounds"] == "8"


@pytest.mark.ray
@pytest.mark.slow
def test_the_same_seed_gives_the_same_search(searched, phantoms, tmp_path):
    again = tmp_path / "again"
    autoreg("search", *arguments(phantoms, again))
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (again / name).read_bytes() == (searched / name).read_bytes()
    pd.testing.assert_frame_equal(history(again), history(searched))


def _start(*given: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "autoreg", *map(str, given)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def _wait_for_round(folder: Path, process: subprocess.Popen, rounds: int) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if list(folder.glob(f"checkpoints/round_{rounds:06d}.pt")):
            return
        assert process.poll() is None
        time.sleep(0.02)
    pytest.fail(f"round {rounds} did not finish")


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_driver_resumes_to_the_same_result_in_the_same_run(searched, phantoms, tmp_path, ray_cluster):
    folder = tmp_path / "killed"
    process = _start("search", *arguments(phantoms, folder, ray_cluster))
    _wait_for_round(folder, process, 4)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run_id = json.loads((folder / "result.json").read_text())["mlflow_run_id"]
    autoreg("search", *arguments(phantoms, folder, ray_cluster), "--resume")
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (folder / name).read_bytes() == (searched / name).read_bytes()
    pd.testing.assert_frame_equal(history(folder), history(searched))
    assert json.loads((folder / "result.json").read_text())["mlflow_run_id"] == run_id
    client = mlflow_client(folder)
    assert sorted(m.step for m in client.get_metric_history(run_id, "objective/train")) == list(range(8))
    assert len(client.search_runs([client.get_run(run_id).info.experiment_id])) == 1


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_worker_changes_nothing_but_the_cost(searched, phantoms, tmp_path, ray_cluster):
    import psutil

    folder = tmp_path / "worker"
    process = _start("search", *arguments(phantoms, folder, ray_cluster))
    _wait_for_round(folder, process, 2)
    actors = [p for p in psutil.Process().children(recursive=True) if "_Actor" in " ".join(_command(p))]
    assert len(actors) == 2
    actors[0].kill()
    assert process.wait(timeout=200) == 0
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (folder / name).read_bytes() == (searched / name).read_bytes()
    pd.testing.assert_frame_equal(history(folder), history(searched))
    assert json.loads((folder / "result.json").read_text())["wasted_seconds"]["search"] > 0


def _command(process) -> list[str]:
    import psutil

    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.ray
def test_train_evaluate_register(searched, phantoms, tmp_path, ray_cluster):
    model = tmp_path / "model"
    autoreg(
        "train", "--search", searched, "--dataset", phantoms, "--output", model, "--quiet", "--address", ray_cluster
    )
    result = json.loads((model / "result.json").read_text())
    assert set(result["device_seconds"]) == {"search", "train"}
    assert 0 < result["metrics"]["val_dice"] < 1
    autoreg("evaluate", model, "--dataset", phantoms, "--quiet", "--save-fields")
    pairs = pd.read_parquet(model / "test" / "pairs.parquet")
    assert {"fixed", "moving", "label", "dice", "hd95_mm", "folds_percent", "sdlogj", "seconds"} <= set(pairs)
    listed = json.loads(phantoms.read_text())["test_pairs"]
    other = phantoms.with_name("other_list.json")
    other.write_text(json.dumps(json.loads(phantoms.read_text()) | {"test_pairs_some": listed[:1]}))
    some = ("evaluate", model, "--dataset", other, "--output", tmp_path / "some", "--set")
    autoreg(*some, "data.pairs=test_pairs_some", "--quiet")
    found = pd.read_parquet(tmp_path / "some" / "pairs.parquet")
    assert [[*pair] for pair in {*zip(found["fixed"], found["moving"], strict=True)}] == listed[:1]
    assert "data" in autoreg(*some, "train.steps=3", code=2)
    own = (model / "test" / "pairs.parquet").read_bytes()
    autoreg("evaluate", model, "--dataset", other, "--set", "data.pairs=test_pairs_some", "--quiet")
    apart = model / "pairs-test_pairs_some" / "test" / "pairs.parquet"
    assert len(pd.read_parquet(apart)) == len(found)
    assert (model / "test" / "pairs.parquet").read_bytes() == own
    images = sorted((phantoms.parent / "images").glob("*.nii.gz"))
    warped = tmp_path / "warped.nii.gz"
    autoreg("register", model, images[0], images[1], "--warped", warped, "--transform", tmp_path / "t.nii.gz")
    assert warped.exists()
    assert (tmp_path / "t.nii.gz").exists()
    parent = mlflow_client(model).get_run(result["mlflow_run_id"]).data.tags["mlflow.parentRunId"]
    assert parent == json.loads((searched / "result.json").read_text())["mlflow_run_id"]


def test_a_second_run_into_the_same_folder_is_refused(phantoms, tmp_path):
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "result.json").write_text("{}")
    error = autoreg("search", *arguments(phantoms, folder), code=2)
    assert "--resume" in error


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("search.roundz=3", ["search.roundz", "rounds"]),
        ("search.rounds=many", ["search.rounds", "int"]),
        ("search.relaxation=hard", ["search.relaxation", "single-path"]),
        ("space=papr", ["papr", "paper"]),
        ("workers.count=0", ["workers.count"]),
    ],
)
def test_a_wrong_setting_is_one_line_and_code_2(phantoms, tmp_path, setting, words):
    error = refused("search", *arguments(phantoms, tmp_path / "x"), "--set", setting)
    assert len(error.strip().splitlines()) == 1
    assert all(word in error for word in words)


def test_an_unknown_primitive_names_the_nearest(phantoms, tmp_path):
    text = (CONFIG.parents[2] / "search_spaces" / "tiny.yaml").read_text().replace("conv1, conv3", "conv1, conv33")
    space = tmp_path / "mine.yaml"
    space.write_text(text)
    error = refused("search", *arguments(phantoms, tmp_path / "x"), "--set", f"space={space}")
    assert "conv33" in error
    assert "did you mean 'conv3'" in error
    assert len(error.strip().splitlines()) == 1


def test_dry_run_starts_nothing(phantoms, tmp_path):
    told = autoreg("search", *arguments(phantoms, tmp_path / "dry"), "--dry-run")
    assert "8 rounds" in told
    assert not (tmp_path / "dry").exists()


def test_status_reads_files_alone(searched):
    told = autoreg("status", searched)
    assert "8 of 8" in told
    assert "finished" in told
    assert "go on" not in told


@pytest.mark.slow
def test_a_search_within_a_budget_draws_its_front(phantoms, tmp_path):
    folder = tmp_path / "front"
    local = ["--set", "workers.local=true", "--workers", 1, "--set", "search.finalist_steps=5"]
    local += ["--set", "search.evidence=0", "--set", "search.stated=0"]  # or so short a search changes nothing
    removal = ["--set", "search.relaxation=softmax", "--set", "search.removal=true", "--set", "search.finalists=3"]
    autoreg("search", *arguments(phantoms, folder), *local, *removal, "--pareto", "--max-params", 12000)
    result = json.loads((folder / "result.json").read_text())
    assert {"by alpha", "by removal", "default architecture"} <= {row["name"] for row in result["finalists"]}
    assert 0 < result["costs"]["params"] <= 12000
    assert result["costs"]["ms"] > 0
    front = pd.read_csv(folder / "front.csv")
    assert {"candidate", "dice", "hd95_mm", "folds_percent", "seconds_a_pair", "on_front"} <= set(front)
    assert 3 <= len(front) <= 6
    assert front["on_front"].any()
    assert all((folder / place / "model.pt").exists() for place in front["folder"])
    assert (folder / "figures" / "front.png").stat().st_size > 1000
    page = (folder / "report.html").read_text()
    assert "Front" in page
    assert "cost.params" in history(folder)


def test_an_impossible_budget_is_named(phantoms, tmp_path):
    local = ["--set", "workers.local=true", "--workers", 1, "--max-params", 10]
    error = autoreg("search", *arguments(phantoms, tmp_path / "x"), *local, code=2)
    assert "search.max_params: expected at least" in error
    assert len(error.strip().splitlines()) == 1
