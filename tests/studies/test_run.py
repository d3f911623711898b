"""A study's files, what it shares, and what a stop and a failure leave."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoreg import experiment, studies
from autoreg.classical import PEERS
from autoreg.cli.study import STUDIES as OFFERED
from autoreg.config import Config
from autoreg.errors import InputError
from autoreg.search.run import read_result
from autoreg.studies import STUDIES

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


@pytest.fixture
def trainings(monkeypatch) -> list[str]:
    """Names of the folders that were trained in."""
    made: list[str] = []
    train = experiment.train

    def noted(*arguments: Any, output: Path, **options: Any) -> Path:
        made.append(output.name)
        return train(*arguments, output=output, **options)

    monkeypatch.setattr(experiment, "train", noted)
    return made


@pytest.fixture
def peers(monkeypatch) -> None:
    """Two classical peers: one that moves nothing, one that takes no 2-D images."""

    def still(threads: int):
        return lambda fixed, moving, affine: np.zeros((fixed.ndim, *fixed.shape))

    def refusing(threads: int):
        def register(fixed, moving, affine):
            raise InputError("refusing: expected 3-D images, got 2-D")

        return register

    for name in reversed(list(PEERS)):  # undone backwards, so the order comes back
        monkeypatch.delitem(PEERS, name)
    monkeypatch.setitem(PEERS, "still", still)
    monkeypatch.setitem(PEERS, "refusing", refusing)


def test_the_command_offers_every_study():
    assert tuple(STUDIES) == OFFERED


def test_studies_write_their_tables_and_share_what_is_finished(
    studied: tuple[Config, Path], flat_phantoms: Path, trainings: list[str], peers: None
):
    config, home = studied
    given: dict[str, Any] = {"datasets": [flat_phantoms], "output": home}
    studies.run_study(STUDIES["optimality"], config, seeds=2, only=("all-conv1",), **given)
    assert [name[:22] for name in trainings] == ["train-all-conv1-seed-0", "train-all-conv1-seed-1"]

    folder = home / "optimality"
    table = pd.read_csv(folder / "table.csv")
    assert table["system"].tolist() == ["initial", "all-conv1"]
    assert table["seeds"].tolist()[1:] == [2]
    runs = json.loads((folder / "result.json").read_text())["systems"]
    dice = [read_result(Path(run["folder"]) / "test")["metrics"]["test_dice"] for run in runs]
    row = table.iloc[1]
    assert row["dice"] == pytest.approx(np.mean(dice))
    assert row["dice_seed_sd"] == pytest.approx(np.std(dice, ddof=1))
    assert row["total_device_seconds"] == pytest.approx(np.mean([sum(r["device_seconds"].values()) for r in runs]))
    assert (folder / "study.png").stat().st_size > 1000

    card = json.loads((folder / "card.json").read_text())
    pairs = pd.read_csv(folder / "pairs-phantoms.csv")
    scored = pd.read_parquet(folder / "pairs.parquet")
    assert set(zip(pairs["fixed"], pairs["moving"], strict=True)) == set(
        zip(scored["fixed"], scored["moving"], strict=True)
    )
    assert read_result(Path(runs[0]["folder"]))["dataset_hash"] in card["data, phantoms"]
    for name, text in card.items():
        assert f"- {name}: {text}" in (folder / "table.md").read_text()
    assert r"\bottomrule" in (folder / "table.tex").read_text()

    # another study trains nothing that the first has made
    studies.run_study(STUDIES["peers"], config, only=("all-conv1", "still", "refusing"), **given)
    assert len(trainings) == 2
    table = pd.read_csv(home / "peers" / "table.csv").set_index("system")
    assert table.loc["still", "dice"] == table.loc["initial", "dice"]
    assert "refusing" not in table.index
    text = (home / "peers" / "table.md").read_text()
    assert "phantoms, refusing: no result: fixed phantom_" in text and "refusing: expected 3-D images, got 2-D" in text


def test_a_study_is_tracked_with_its_files(studied: tuple[Config, Path], flat_phantoms: Path):
    config, home = studied
    given: dict[str, Any] = {"datasets": [flat_phantoms], "output": home, "only": ("all-conv1",)}
    studies.run_study(STUDIES["optimality"], config, resume=True, **given)
    result = json.loads((home / "optimality" / "result.json").read_text())

    from mlflow import MlflowClient

    client = MlflowClient(result["mlflow_tracking_uri"])
    run = client.get_run(result["mlflow_run_id"])
    table = pd.read_csv(home / "optimality" / "table.csv").set_index("system")
    assert run.data.metrics["phantoms.all-conv1.dice"] == pytest.approx(table.loc["all-conv1", "dice"])
    files = {file.path for file in client.list_artifacts(result["mlflow_run_id"])}
    assert {"table.md", "table.csv", "table.tex", "study.png", "card.json", "pairs-phantoms.csv"} <= files
    with pytest.raises(InputError, match="--resume"):
        studies.run_study(STUDIES["optimality"], config, **given)


def test_a_changed_training_is_not_taken_for_the_finished_one(
    studied: tuple[Config, Path], flat_phantoms: Path, trainings: list[str]
):
    config, home = studied
    given: dict[str, Any] = {"datasets": [flat_phantoms], "output": home, "only": ("all-conv1",), "resume": True}
    studies.run_study(STUDIES["optimality"], config, **given)
    before = len(trainings)
    unrelated = replace(config, tune=replace(config.tune, trials=7))
    studies.run_study(STUDIES["optimality"], unrelated, **given)
    assert len(trainings) == before
    slower = replace(config, train=replace(config.train, learning_rate=1e-4))
    studies.run_study(STUDIES["optimality"], slower, **given)
    assert len(trainings) == before + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ("all-conv33",)}, r"--only: expected one of AutoReg, .*did you mean 'all-conv3'"),
        ({"seeds": 0}, "--seeds: expected at least 1, got 0"),
    ],
)
def test_wrong_options_are_named(
    studied: tuple[Config, Path], flat_phantoms: Path, tmp_path: Path, options: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message):
        studies.run_study(
            STUDIES["optimality"], studied[0], datasets=[flat_phantoms], output=tmp_path / "study", **options
        )
    assert not (tmp_path / "study").exists()


def test_data_sets_of_one_name_are_refused(studied: tuple[Config, Path], flat_phantoms: Path, tmp_path: Path):
    with pytest.raises(InputError, match="--dataset: expected data sets of different names, got phantoms, phantoms"):
        studies.describe_study(
            STUDIES["optimality"], studied[0], datasets=[flat_phantoms, flat_phantoms], output=tmp_path
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.ray) if n == "cost" else n for n in STUDIES])
def test_every_study_runs(
    studied: tuple[Config, Path], flat_phantoms: Path, name: str, peers: None, request: pytest.FixtureRequest
):
    config, home = studied
    if name == "cost":  # Ray Tune runs the trials
        address = request.getfixturevalue("ray_cluster")
        config = replace(config, workers=replace(config.workers, address=address))
    study, given = STUDIES[name], {"datasets": [flat_phantoms], "output": home / "all"}
    described = studies.describe_study(study, config, **given)
    assert described["study"].startswith(name)
    text = studies.run_study(study, config, **given)
    assert "initial" in text
    table = pd.read_csv(home / "all" / name / "table.csv")
    expected = {system.name for system in study.systems(config)} - {"refusing"}
    assert set(table["system"]) == expected | {"initial"}
    assert table["dice"].between(0, 1).all()
    tested = table[~table["system"].isin([study.reference, "initial"])]
    assert tested["p_holm"].notna().all()
    if name == "cost":
        runs = {run["system"]: run for run in json.loads((home / "all" / name / "result.json").read_text())["systems"]}
        first, second = runs["1 trial + training"], runs["2 trials + training"]
        trials = pd.read_parquet(Path(first["folder"]).parents[1] / "trials.parquet").sort_values("trial")
        assert first["folder"].endswith("trials/000")
        assert second["folder"].endswith(f"trials/{trials['score'].idxmax():03d}")
        assert second["device_seconds"]["trials"] == pytest.approx(trials["device_seconds"].sum())
        assert "as much as" in text and "trials and a training" in text
