"""Every network by name: trained, scored, used on two files; and the search of its loss weights alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autoreg import experiment, registering
from autoreg.choice import choose
from autoreg.cli.train import NETWORKS as NAMES_IN_HELP
from autoreg.config import Config, config_from_dict, read_yaml
from autoreg.data.synthetic import make_phantoms
from autoreg.errors import InputError
from autoreg.evaluation.pairs import evaluate_pairs, summary
from autoreg.networks import NETWORKS
from autoreg.registration.model import load_model
from autoreg.search.run import read_result
from autoreg.setting import open_setting

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def configuration(home: Path, **search: Any) -> Config:
    train = {"steps": 4, "steps_per_round": 2, "evaluate_every": 2, "selection_pairs": 1, "warmup_steps": 1}
    values = {
        "space": "tiny",
        "train": train,
        "search": {"rounds": 4, "warmup_rounds": 1, "steps_per_round": 2, "finalist_steps": 2, **search},
        "workers": {"local": True},
        "tracking": {"home": str(home / "store")},
    }
    return config_from_dict(values, "test")


@pytest.fixture(scope="module", params=[(32, 32), (16, 16, 16)], ids=["2-D", "3-D"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantoms(tmp_path_factory.mktemp("data"), subjects=6, shape=request.param, seed=0)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantoms(tmp_path_factory.mktemp("slices"), subjects=8, shape=(32, 32), seed=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_evaluates_and_registers(name: str, dataset: Path, tmp_path: Path) -> None:
    config = configuration(tmp_path)
    choice = choose(config, network=name)
    folder = experiment.train(config, choice, dataset=dataset, output=tmp_path / "model", tracked=False)
    assert read_result(folder)["network"] == name
    history = pd.read_parquet(folder / "history.parquet")
    assert np.isfinite(history.filter(like="term.")).all(axis=None)

    model, setting = load_model(folder), open_setting(config, dataset)
    pairs = setting.dataset.pairs("test")
    scores = evaluate_pairs(
        model, setting.volumes, pairs, label_numbers=tuple(setting.labels), device=torch.device("cpu")
    )
    figures = summary(scores)
    assert 0 < figures["test_dice"] <= 1
    assert figures["test_dice"] != figures["initial_dice"] or figures["sdlogj"] > 0  # it moved something
    assert figures["folds_percent"] < 1  # but four steps from the identity

    fixed, moving = sorted((dataset.parent / "images").glob("*.nii.gz"))[:2]
    told = registering.register(folder, fixed, moving, warped=tmp_path / "warped.nii.gz")
    assert (tmp_path / "warped.nii.gz").exists()
    assert told["folds percent"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bpfl", "voxelmorph"])
def test_loss_weights_of_a_network_are_searched_and_its_training_takes_them(
    name: str, slices: Path, tmp_path: Path
) -> None:
    config = configuration(tmp_path, network=name)
    config = replace(config, train=replace(config.train, steps=18))  # the play-off takes 16 of them
    folder = experiment.search(config, dataset=slices, output=tmp_path / "search")
    assert not (folder / "genotype.yaml").exists()
    found = read_result(folder)
    assert (found["network"], found["genotype"], found["finalists"][0]["name"]) == (name, None, name)
    names = {row["name"] for row in found["finalists"]}
    assert names >= {name, "loss weights 2 times as far", "defaults"}
    history = pd.read_parquet(folder / "history.parquet")
    assert history["lambda.smoothness"].nunique() == 4  # the start, and three rounds that moved it
    assert not [column for column in history if str(column).startswith("alpha")]
    assert ("term.kl" in history) == (name == "bpfl")  # a network's own terms are logged, and have no lambda
    assert not any("kl" in str(column) for column in history if str(column).startswith("lambda."))
    weights = read_yaml(folder / "loss_weights.yaml")
    assert list(weights) == ["lncc", "mse", "smoothness", "overlap"]

    choice = choose(config, search_folder=folder)
    by_name = choose(config, network=name, loss_weights=folder / "loss_weights.yaml")
    assert (choice.network, choice.loss_weights) == (by_name.network, by_name.loss_weights)
    model = experiment.train(config, choice, dataset=slices, output=tmp_path / "model", tracked=False)
    assert set(read_result(model)["device_seconds"]) == {"search", "train"}
    assert load_model(model).loss_weights == weights


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"network": "mprnett"}, r"search\.network: unknown name 'mprnett' \(did you mean 'mprnet'\?\)"),
        ({"network": "mprnet", "upper": {"levels": "alpha"}}, "mprnet has no choices, got levels alpha"),
        ({"network": "mprnet", "max_ms": 3.0}, r"got levels both, budgets \{'ms': 3\.0\}"),
        ({"network": "mprnet", "pareto": True}, "pareto True"),
        ({"network": "mprnet", "removal": True}, "got partial-channel, loss_weights"),
    ],
)
def test_what_a_fixed_network_cannot_have_is_named(search: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        configuration(tmp_path, **search)


def test_help_names_every_network() -> None:
    assert NAMES_IN_HELP.split(", ") == sorted(NETWORKS)
