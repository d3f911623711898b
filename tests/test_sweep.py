"""Several searches as trials of one cluster: real Ray and MLflow, small 2-D phantoms."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from autoreg import experiment
from autoreg.baselines.record import Record, TrialRow
from autoreg.config import Config, load_config, shipped
from autoreg.errors import ConfigError, InputError
from autoreg.sweep import check_points, points, sweep

CONFIG = shipped("launchers") / "configs" / "smoke.yaml"
Swept = tuple[Path, pd.DataFrame]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    settings = ["search.rounds=9", "search.warmup_rounds=1", "search.finalists=1", "workers.count=1"]
    return load_config(CONFIG, [*settings, f"tracking.home={tmp_path_factory.mktemp('home')}"])


@pytest.fixture(scope="module")
def swept(config: Config, flat_phantoms: Path, ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two seeds side by side, both to their end."""
    folder = tmp_path_factory.mktemp("sweep") / "run"
    vary = points(config, seeds=2, vary=[])
    return folder, sweep(config, dataset=flat_phantoms, output=folder, vary=vary, concurrent=2, asha=False)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_searches_share_a_cluster_and_each_is_as_if_alone(swept, config, flat_phantoms, tmp_path):
    _, table = swept
    assert table["seed"].tolist() == ["0", "1"]
    assert table["status"].tolist() == ["finished", "finished"]
    assert table["best"].sum() == 1
    assert table["score"][table["best"]].item() == table["score"].max()
    assert (table["device_seconds"] > 0).all()
    alone = experiment.search(config, dataset=flat_phantoms, output=tmp_path / "alone", tracked=False)
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (Path(table["folder"][0]) / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_search_is_a_nested_run(swept):
    from mlflow import MlflowClient

    folder, table = swept
    result = json.loads((folder / "result.json").read_text())
    assert [row["best"] for row in result["searches"]] == table["best"].tolist()
    assert sum(result["device_seconds"].values()) == pytest.approx(table["device_seconds"].sum())
    client = MlflowClient(result["mlflow_tracking_uri"])
    experiment_id = client.get_run(result["mlflow_run_id"]).info.experiment_id
    children = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{result['mlflow_run_id']}'")
    assert sorted(child.data.params["seed"] for child in children) == ["0", "1"]
    steps = [point.step for point in client.get_metric_history(children[0].info.run_id, "quality/score")]
    assert sorted(steps) == list(range(2, 9))  # the last round's is the result
    scores = {child.data.params["seed"]: child.data.metrics["result/score"] for child in children}
    assert scores == dict(zip(table["seed"], table["score"], strict=True))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_that_was_killed_goes_on(swept, config, flat_phantoms, tmp_path):
    folder, table = shutil.copytree(swept[0], tmp_path / "run"), swept[1]
    record = Record(folder / "trials.parquet", ["seed"])
    record.write(TrialRow(1, {"seed": "1"}, mlflow_run_id=record.rows[1].mlflow_run_id))
    for path in (folder / "trials" / "001").glob("[gl]*.yaml"):  # genotype and loss weights
        path.unlink()
    vary = points(config, seeds=2, vary=[])
    again = sweep(config, dataset=flat_phantoms, output=folder, vary=vary, asha=False, resume=True)
    shared = ["seed", "status", "score", "best"]
    pd.testing.assert_frame_equal(again[shared], table[shared])
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (Path(again["folder"][1]) / name).read_bytes() == (Path(table["folder"][1]) / name).read_bytes()
    with pytest.raises(InputError, match="expected the sweep that began there"):
        sweep(config, dataset=flat_phantoms, output=folder, vary=[{"seed": "0"}, {"seed": "7"}], resume=True)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_that_falls_behind_is_ended_early(swept, config, flat_phantoms, tmp_path):
    _, table = swept
    at_first_look = [pd.read_parquet(Path(f) / "history.parquet")["soft_dice"][1:6].mean() for f in table["folder"]]
    better, worse = ("0", "1") if at_first_look[0] > at_first_look[1] else ("1", "0")
    vary = [{"seed": better}, {"seed": worse}]
    ended = sweep(config, dataset=flat_phantoms, output=tmp_path / "run", vary=vary)
    assert ended["status"].tolist() == ["finished", "stopped"]
    assert ended["best"].tolist() == [True, False]
    assert len(pd.read_parquet(Path(ended["folder"][1]) / "history.parquet")) < 9


def test_points_are_every_combination_and_the_first_seed_comes_first(config):
    found = points(config, seeds=2, vary=["space=tiny,compact"])
    assert [tuple(point.values()) for point in found] == [
        ("0", "tiny"),
        ("0", "compact"),
        ("1", "tiny"),
        ("1", "compact"),
    ]


@pytest.mark.parametrize(
    ("vary", "words"),
    [("space", "key=value"), ("space=tiny,,", "key=value"), ("spce=tiny", "space"), ("space=tinny", "tiny")],
)
def test_a_wrong_point_is_named_before_any_work(config, flat_phantoms, vary, words):
    with pytest.raises(ConfigError, match=words):
        check_points(config, flat_phantoms, points(config, seeds=1, vary=[vary]))
