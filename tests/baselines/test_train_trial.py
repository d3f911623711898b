"""Real trials of the smoke configuration: alone, and as a study."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autoreg import tuning
from autoreg.baselines.config import TuneConfig
from autoreg.config import Config, config_from_dict, config_to_dict, load_space, read_yaml
from autoreg.errors import DivergedError, InputError
from autoreg.registration.model import load_model
from autoreg.search.run import read_result

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
PARAMETERS = {"learning_rate": 5e-3, "lambda.mse": 50.0, "lambda.smoothness": 0.1, "lambda.overlap": 10.0}


def configuration(home: Path, **tune: Any) -> Config:
    train = {"steps": 12, "steps_per_round": 3, "evaluate_every": 2, "selection_pairs": 2, "warmup_steps": 1}
    values = {"space": "tiny", "train": train, "tune": tune, "tracking": {"home": str(home / "store")}}
    return config_from_dict(values, "test")


def run_trial(folder: Path, dataset: Path, report: Any, **changed: float) -> dict[str, float]:
    setup = {"config": config_to_dict(configuration(folder)), "dataset": str(dataset), "extensions": ()}
    return tuning.train_trial(setup, PARAMETERS | changed, folder, report)


def test_a_trial_is_a_training_with_its_parameters(tmp_path: Path, phantoms: Path) -> None:
    seen: list[tuple[int, float]] = []

    metrics = run_trial(tmp_path, phantoms, lambda done, score: seen.append((done, score)))

    assert [done for done, _ in seen] == [2, 4]
    assert metrics["score"] == max(score for _, score in seen)
    weights = {"lncc": 1.0, "mse": 50.0, "smoothness": 0.1, "overlap": 10.0}
    assert read_yaml(tmp_path / "loss_weights.yaml") == weights
    assert read_yaml(tmp_path / "config.yaml")["train"]["learning_rate"] == 5e-3


def test_a_killed_trial_goes_on_in_its_folder(tmp_path: Path, phantoms: Path) -> None:
    expected = run_trial(tmp_path / "whole", phantoms, lambda done, score: None)
    seen: list[int] = []

    def interrupted(done: int, score: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(tmp_path / "parts", phantoms, interrupted)
    metrics = run_trial(tmp_path / "parts", phantoms, lambda done, score: seen.append(done))

    assert metrics == expected
    assert seen == [4]


def test_impossible_parameters_diverge(tmp_path: Path, phantoms: Path) -> None:
    with pytest.raises(DivergedError):
        run_trial(tmp_path, phantoms, lambda done, score: None, learning_rate=1e30)


@pytest.mark.ray
@pytest.mark.slow
def test_same_seed_same_study(tmp_path: Path, phantoms: Path, ray_cluster: None) -> None:
    config = configuration(tmp_path, trials=3)
    frames = []
    for name in ("one", "two"):
        folder = tuning.tune(config, dataset=phantoms, output=tmp_path / name)
        frames.append(pd.read_parquet(folder / "trials.parquet"))

    shared = ["trial", "status", "score", "val_dice", "folds_percent", *PARAMETERS]
    pd.testing.assert_frame_equal(frames[0][shared], frames[1][shared], check_exact=True)
    space = load_space("tiny", dims=3)
    for term in space.terms[1:]:
        assert frames[0][f"lambda.{term.name}"].between(term.low, term.high).all()

    result = read_result(tmp_path / "one")
    best = frames[0].loc[frames[0]["score"].idxmax()]
    assert result["best_trial"] == best["trial"]
    assert result["metrics"]["score"] == best["score"]
    assert result["device_seconds"]["trials"] == pytest.approx(frames[0]["device_seconds"].sum())
    assert read_yaml(tmp_path / "one" / "loss_weights.yaml")["mse"] == best["lambda.mse"]
    assert load_model(tmp_path / "one").network


@pytest.mark.slow
@pytest.mark.ray
def test_the_primitive_can_be_tuned_too(tmp_path: Path, phantoms: Path, ray_cluster: None) -> None:
    config = configuration(tmp_path, trials=2, concurrent=2, primitives="one")

    folder = tuning.tune(config, dataset=phantoms, output=tmp_path / "study")

    frame = pd.read_parquet(folder / "trials.parquet")
    assert frame["primitive"][0] == "conv3"
    chosen = frame["primitive"][read_result(folder)["best_trial"]]
    assert set(read_yaml(folder / "genotype.yaml")["edges"].values()) == {chosen}


def test_an_unknown_network_is_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"tune\.network: expected one of .*all-conv3.*, got 'unet'"):
        replace(TuneConfig(), network="unet")
