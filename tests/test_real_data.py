"""The same commands on real volumes: `make test-data DATA=folder`. Nothing of the data is copied."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = [pytest.mark.data, pytest.mark.timeout(1500)]
CONFIGS = Path(__file__).parents[1] / "launchers" / "configs"
SETS = {
    "hippocampus": [],
    "oasis_2mm": [],
    "brain_t1t2_2mm": ["--set", "data.fixed_modality='0000'", "--set", "data.moving_modality='0001'"],
    "fetal_t2": [],
    "mouse_t2": [],
}


@pytest.fixture(scope="module")
def data(request: pytest.FixtureRequest) -> Path:
    return Path(request.config.getoption("--data-root")).resolve()


def autoreg(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "autoreg", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_sound(data, name):
    assert "none" in autoreg("data", "check", data / name / "dataset.json", *SETS[name])


@pytest.mark.ray
@pytest.mark.parametrize(("name", "rounds", "steps", "finalists"), [("hippocampus", 4, 50, 3), ("oasis_2mm", 3, 10, 1)])
def test_search_train_evaluate(data, tmp_path, name, rounds, steps, finalists):
    dataset = data / name / "dataset.json"
    sets = [f"search.rounds={rounds}", "search.warmup_rounds=2", "search.steps_per_round=2", f"train.steps={steps}"]
    sets += [
        f"search.finalists={finalists}",
        "search.finalist_steps=10",
        "train.selection_pairs=2",
        f"tracking.home={tmp_path / 'home'}",
    ]
    options = [word for value in sets for word in ("--set", value)]
    autoreg(
        "search", CONFIGS / f"{name}.yaml", "--dataset", dataset, "--output", tmp_path / "search", "--quiet", *options
    )
    autoreg(
        "train",
        "--search",
        tmp_path / "search",
        "--dataset",
        dataset,
        "--output",
        tmp_path / "model",
        "--quiet",
        *options,
    )
    autoreg("evaluate", tmp_path / "model", "--dataset", dataset, "--quiet")
    metrics = json.loads((tmp_path / "model" / "test" / "result.json").read_text())["metrics"]
    pairs = pd.read_parquet(tmp_path / "model" / "test" / "pairs.parquet")
    assert len(pairs[["fixed", "moving"]].drop_duplicates()) == len(json.loads(dataset.read_text())["test_pairs"])
    assert metrics["test_dice"] > metrics["initial_dice"] - 0.02
    assert metrics["folds_percent"] < 1.0


def test_a_full_resolution_pair_fits_into_8_gib(data, tmp_path):
    from dataclasses import asdict

    from autoreg.config import load_space
    from autoreg.networks import build_network
    from autoreg.registration.model import save_model

    description = {"name": "all-conv3", "architecture": asdict(load_space("compact", dims=3).architecture)}
    plain = json.loads(json.dumps(description))
    weights = build_network(plain).state_dict()
    prepared = {"foreground": "positive", "percentiles": [0.5, 99.5]}
    rest = {"labels": {}, "loss_weights": {}, "common_affine": True}
    save_model(tmp_path / "model.pt", description=plain, weights=weights, data=prepared, **rest)
    images = data / "oasis" / "images"
    autoreg("register", tmp_path, images / "1006.nii.gz", images / "1013.nii.gz", "--warped", tmp_path / "w.nii.gz")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    assert peak < 8
