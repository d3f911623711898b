"""Which grids refinement begins on: what validation pairs say, once."""

import json
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from autoreg import experiment
from autoreg.config import Config, load_space
from autoreg.data.dataset import load_dataset
from autoreg.errors import InputError, StorageError
from autoreg.evaluation.pairs import evaluate_pairs, summary
from autoreg.networks import build_network
from autoreg.refinement import PAIRS, with_grids
from autoreg.registration.model import keep_halvings, load_model, save_model
from autoreg.registration.refine import HALVINGS
from autoreg.setting import open_setting

STEPS = 10
CPU = torch.device("cpu")


@pytest.fixture
def still(flat_phantoms: Path, tmp_path: Path) -> Path:
    """A network that moves nothing, in the space `tiny`, as if trained on the phantoms."""
    space = load_space("tiny", dims=2)
    description = json.loads(json.dumps({"name": "all-conv3", "architecture": asdict(space.architecture)}))
    weights = build_network(description).state_dict()
    weights |= {name: 0 * value for name, value in weights.items() if name.endswith(("head.weight", "head.bias"))}
    folder = tmp_path / "model"
    folder.mkdir()
    terms = {"loss_weights": {t.name: t.start for t in space.terms}, "terms": [asdict(t) for t in space.terms]}
    rest = {"data": {"foreground": "positive", "percentiles": [0.5, 99.5]}, "labels": {}, "common_affine": True}
    save_model(folder / "model.pt", description=description, weights=weights, **rest, **terms)
    (folder / "result.json").write_text(json.dumps({"dataset": load_dataset(flat_phantoms).name, "command": "train"}))
    return folder


@pytest.fixture
def told_nothing_by_images(flat_phantoms: Path, tmp_path: Path) -> Path:
    """One label map for everyone, so that every motion lowers Dice."""
    copy = tmp_path / "flat"
    shutil.copytree(flat_phantoms.parent, copy)
    first, *others = sorted((copy / "labels").iterdir())
    for other in others:
        shutil.copy(first, other)
    return copy / flat_phantoms.name


@pytest.mark.parametrize("data", ["flat_phantoms", "told_nothing_by_images"])
def test_the_grids_that_score_highest_on_validation_pairs_are_kept(
    still: Path, data: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    setting = open_setting(Config(), request.getfixturevalue(data))
    model, pairs, labels = load_model(still), setting.dataset.pairs("val")[:PAIRS], tuple(setting.labels)

    def dice(halvings: int) -> float:
        way = replace(model, halvings=halvings)
        rows = evaluate_pairs(way, setting.volumes, pairs, label_numbers=labels, device=CPU, refine=STEPS)
        return summary(rows)["test_dice"]

    found = [dice(halvings) for halvings in range(HALVINGS + 1)]
    assert found[0] != found[1]
    with caplog.at_level(logging.WARNING):
        settled = with_grids(model, still, setting, Config(), steps=STEPS, device=CPU)
    assert settled.halvings == load_model(still).halvings == found.index(max(found))
    assert ("lowers the score" in caplog.text) == (data == "told_nothing_by_images")


def test_it_is_measured_once_and_a_copied_file_tells(flat_phantoms: Path, still: Path, tmp_path: Path) -> None:
    experiment.evaluate(still, dataset=flat_phantoms, refine=STEPS)
    measured = (still / "model.pt").read_bytes()
    experiment.evaluate(still, dataset=flat_phantoms, refine=STEPS)
    assert (still / "model.pt").read_bytes() == measured
    shutil.copy(still / "model.pt", tmp_path / "alone.pt")
    assert load_model(tmp_path / "alone.pt").halvings in range(HALVINGS + 1)


def test_a_model_that_may_only_be_read_is_measured_all_the_same(
    flat_phantoms: Path, still: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(path: Path, halvings: int) -> None:
        raise StorageError(f"{path}: read-only")

    monkeypatch.setattr("autoreg.refinement.keep_halvings", refused)
    setting = open_setting(Config(), flat_phantoms)
    with caplog.at_level(logging.WARNING):
        found = with_grids(load_model(still), still, setting, Config(), steps=STEPS, device=CPU)
    assert found.halvings in range(HALVINGS + 1)
    assert "not kept" in caplog.text and load_model(still).halvings is None


def test_what_is_kept_changes_nothing_else_of_the_file(still: Path) -> None:
    before = load_model(still)
    keep_halvings(still, 1)
    after = load_model(still)
    assert after.halvings == 1
    assert replace(after, network=before.network, halvings=before.halvings) == before
    states = zip(before.network.state_dict().values(), after.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states)


def test_a_model_alone_is_refined_on_data_that_nobody_could_train_on(
    flat_phantoms: Path, still: Path, tmp_path: Path
) -> None:
    """Nor does anybody know that they are its own, so they decide nothing."""
    copy = tmp_path / "test-only"
    shutil.copytree(flat_phantoms.parent, copy)
    description = json.loads((copy / flat_phantoms.name).read_text())
    (copy / flat_phantoms.name).write_text(json.dumps(description | {"train": [], "val": [], "val_pairs": []}))
    (still / "result.json").unlink()
    experiment.evaluate(still, dataset=copy / flat_phantoms.name, refine=STEPS)
    assert load_model(still).halvings is None


@pytest.mark.parametrize("value", [-1, "two", 1.5, True, [1]])
def test_a_file_with_other_than_a_number_of_halvings_is_refused(still: Path, value: object) -> None:
    content = torch.load(still / "model.pt", weights_only=True)
    torch.save(content | {"halvings": value}, still / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: halvings: expected a whole number"):
        load_model(still)


def test_other_data_than_the_models_own_decide_nothing(flat_phantoms: Path, still: Path) -> None:
    experiment.evaluate(still, dataset=flat_phantoms, refine=STEPS, overrides=["data.foreground=all"])
    assert load_model(still).halvings is None
