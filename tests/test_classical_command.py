"""A peer's run: its files, its books, what a stop leaves, and its place in a comparison."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from autoreg import experiment, peers
from autoreg.classical import PEERS
from autoreg.cli.classical import PEERS as OFFERED
from autoreg.config import Config, TrackingConfig
from autoreg.errors import AutoRegError, InputError


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """One store for all runs: making its tables takes longer than they do."""
    return replace(Config(), tracking=TrackingConfig(home=str(tmp_path_factory.mktemp("home"))))


@pytest.fixture
def still(monkeypatch) -> list[tuple[int, ...]]:
    """The peer "still", which moves nothing; the list has what it was called with."""
    calls: list[tuple[int, ...]] = []

    def opened(threads: int):
        def register(fixed, moving, affine):
            calls.append(fixed.shape)
            return np.zeros((fixed.ndim, *fixed.shape))

        return register

    monkeypatch.setitem(PEERS, "still", opened)
    return calls


def test_the_command_offers_every_peer():
    assert tuple(PEERS) == OFFERED


def test_a_run_is_an_evaluated_system(config, phantoms, tmp_path, still):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        peers.classical(config, "still", dataset=phantoms, output=folder)
    result = json.loads((one / "result.json").read_text())
    pairs = pd.read_parquet(one / "test" / "pairs.parquet")
    assert (result["status"], result["command"], result["peer"]) == ("finished", "classical still", "still")
    assert pairs["dice"].tolist() == pairs["initial_dice"].tolist()
    seconds = pairs.groupby(["fixed", "moving"])["seconds"].first().sum()
    assert result["device_seconds"] == {"register": pytest.approx(seconds)}
    assert json.loads((one / "test" / "result.json").read_text())["metrics"]["pairs"] == len(still) / 2
    table = experiment.compare([one, two], output=tmp_path / "compare")
    assert "one" in table and "two" in table

    from mlflow import MlflowClient

    run = MlflowClient(result["mlflow_tracking_uri"]).get_run(result["mlflow_run_id"])
    assert run.data.metrics["result/test_dice"] == pytest.approx(result["metrics"]["test_dice"])
    assert run.data.tags["command"] == "classical still"


def test_pairs_done_are_kept_when_the_peer_fails(config, phantoms, tmp_path, still, monkeypatch):
    def failing(threads: int):
        inner = PEERS["steady"](threads)

        def register(fixed, moving, affine):
            if len(still) == 1:
                raise RuntimeError("ITK says no")
            return inner(fixed, moving, affine)

        return register

    monkeypatch.setitem(PEERS, "steady", PEERS["still"])
    monkeypatch.setitem(PEERS, "still", failing)
    with pytest.raises(AutoRegError, match=r"fixed phantom_\d+, moving phantom_\d+: still failed: ITK says no"):
        peers.classical(config, "still", dataset=phantoms, output=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "failed"
    monkeypatch.setitem(PEERS, "still", PEERS["steady"])
    with pytest.raises(InputError, match="--resume"):
        peers.classical(config, "still", dataset=phantoms, output=tmp_path / "run")
    peers.classical(config, "still", dataset=phantoms, output=tmp_path / "run", resume=True)
    pairs = pd.read_parquet(tmp_path / "run" / "test" / "pairs.parquet")
    assert len(still) == len(pairs[["fixed", "moving"]].drop_duplicates())  # none was registered twice
    costs = pd.read_parquet(tmp_path / "run" / "cost.parquet")
    assert (costs["device_seconds"] > 0).sum() == len(still)


def test_another_peer_does_not_go_on_in_the_folder(config, phantoms, tmp_path, still, monkeypatch):
    peers.classical(config, "still", dataset=phantoms, output=tmp_path / "run", most_pairs=1)
    monkeypatch.setitem(PEERS, "other", PEERS["still"])
    with pytest.raises(InputError, match="command: expected classical other, got classical still"):
        peers.classical(config, "other", dataset=phantoms, output=tmp_path / "run", resume=True)


def test_a_dry_run_only_tells(config, phantoms, tmp_path, still):
    told = peers.describe_classical(config, "still", dataset=phantoms, output=tmp_path / "x", most_pairs=1)
    assert told["pairs"] == "1 of test"
    assert not (tmp_path / "x").exists() and not still
