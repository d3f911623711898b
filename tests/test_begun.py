"""A training that a play-off began and `train` went on with is the training from scratch, bit for bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from autoreg import experiment
from autoreg.choice import choose
from autoreg.config import load_config, shipped
from autoreg.search.run import read_result

SETTINGS = ("workers.local=true", "workers.count=1", "train.steps=12", "train.steps_per_round=2")
PLAY_OFF = (
    "search.evidence=0",
    "train.evaluate_every=1",
    "search.finalists=4",
    "search.finalist_steps=2",
    "search.rounds=5",
)


@pytest.fixture(scope="module")
def searched(flat_phantoms, tmp_path_factory):
    """Configuration and folder of a search whose finalists took two steps and then eight."""
    folder = tmp_path_factory.mktemp("begun")
    overrides = [*SETTINGS, *PLAY_OFF, f"tracking.home={folder / 'home'}"]
    config = load_config(shipped("launchers") / "configs" / "smoke.yaml", overrides)
    return config, experiment.search(config, dataset=flat_phantoms, output=folder / "search")


def trained(searched, dataset, output, **changes):
    config, folder = searched
    config = replace(config, train=replace(config.train, **changes))
    choice = choose(config, search_folder=folder)
    return experiment.train(config, choice, dataset=dataset, output=output)


def rounds_worked(folder) -> list[str]:
    keys = pd.read_parquet(folder / "cost.parquet")["key"].tolist()
    return [key for key in keys if key.startswith("round")]


def test_the_best_goes_on_and_the_default_architecture_meets_it(searched):
    rows = read_result(searched[1])["finalists"]
    assert [row["steps"] for row in rows] == [2, 2, 4, 4, 4, 8, 8]
    assert rows[-1]["folder"].startswith("final/")


def test_going_on_is_bit_equal_to_training_from_scratch(searched, flat_phantoms, tmp_path):
    config, folder = searched
    going_on = trained(searched, flat_phantoms, tmp_path / "on")
    choice = replace(choose(config, search_folder=folder), begun=None)
    scratch = experiment.train(config, choice, dataset=flat_phantoms, output=tmp_path / "scratch")
    assert rounds_worked(going_on) == ["round 4", "round 5"]
    assert rounds_worked(scratch) == [f"round {n}" for n in range(6)]
    models = [torch.load(place / "model.pt", weights_only=True)["weights"] for place in (going_on, scratch)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[1])
    scores = [pd.read_parquet(place / "history.parquet")["score"].to_numpy() for place in (going_on, scratch)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("change", [{"learning_rate": 0.003}, {"steps": 16}])
def test_another_training_starts_anew(searched, flat_phantoms, tmp_path, change):
    assert rounds_worked(trained(searched, flat_phantoms, tmp_path / "other", **change))[0] == "round 0"


def test_another_precision_starts_anew(searched, flat_phantoms, tmp_path):
    config, folder = searched
    other = replace(config, workers=replace(config.workers, precision="bfloat16"))
    going_on = trained((other, folder), flat_phantoms, tmp_path / "other")
    assert rounds_worked(going_on)[0] == "round 0"


def test_a_spoilt_beginning_is_not_used(searched, flat_phantoms, tmp_path):
    config, folder = searched
    choice = choose(config, search_folder=folder)
    assert choice.begun is not None
    result = choice.begun / "result.json"
    result.write_text(result.read_text().replace('"dataset_hash": "', '"dataset_hash": "x'))
    output = experiment.train(config, choice, dataset=flat_phantoms, output=tmp_path / "anew")
    assert rounds_worked(output)[0] == "round 0"
