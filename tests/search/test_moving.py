"""Loss weights that go on moving in a training: when, from where, and what they are told apart from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autoreg import experiment
from autoreg.choice import Choice, choose, choose_again
from autoreg.config import Config, load_config, read_yaml, shipped
from autoreg.errors import InputError, WorkerError
from autoreg.reporting.folders import read_table
from autoreg.search import rounds
from autoreg.search.moving import MovingLossWeights, moving_rounds
from autoreg.search.run import read_result
from autoreg.search.upper import UpperConfig
from autoreg.setting import Setting, training_spec
from autoreg.workers.messages import RoundReport, RoundTask
from autoreg.workers.pool import LocalPool

SETTINGS = (
    "workers.local=true",
    "workers.count=1",
    "search.moves_until=0.5",
    "train.steps=20",
    "train.steps_per_round=2",
    "train.evaluate_every=1",
)
"""Ten rounds, of which the second to the fifth move the loss weights."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    home = tmp_path_factory.mktemp("moving")
    return load_config(shipped("launchers") / "configs" / "smoke.yaml", [*SETTINGS, f"tracking.home={home}"])


@pytest.fixture
def choice(config: Config, flat_setting) -> Choice:
    """A search's loss weights on conv3."""
    weights = {"lncc": 1.0, "mse": 4.0, "smoothness": 2.0, "overlap": 1.5}
    return replace(choose(config, network="all-conv3"), loss_weights=weights, searched=True)


@pytest.mark.parametrize(
    ("until", "rounds", "moves"),
    [
        (0.5, 60, range(6, 30)),
        (1.0, 60, range(6, 59)),
        (0.5, 3, range(1, 1)),
        (0.0, 60, range(0)),
        (0.05, 60, range(0)),
    ],
)
def test_from_a_tenth_of_the_training_on(until: float, rounds: int, moves: range) -> None:
    assert list(moving_rounds(until, rounds)) == list(moves)


def report(gradient: list[float]) -> RoundReport:
    upper = {"dice": 0.5, "folds_percent": 0.0, "stand_in.folds_percent": 0.0}
    return RoundReport(4, 0, np.zeros(4), loss_weights_gradient=np.array(gradient), upper=upper)


def moving(flat_setting, rounds: range = range(4, 6)) -> MovingLossWeights:
    given = {"lncc": 1.0, "mse": 4.0, "smoothness": 2.0, "overlap": 1.5}
    terms = flat_setting[2].terms
    return MovingLossWeights(terms, given, UpperConfig(), bounds={"folds_percent": 0.3}, rounds=rounds)


def test_they_begin_as_given_and_move_after_their_rounds_alone(flat_setting) -> None:
    loss_weights = moving(flat_setting)
    task = RoundTask(3, 0, (1e-3, 1e-3), np.zeros(4))
    asked = [loss_weights.asked(replace(task, index=index)) for index in (3, 4, 5, 6)]
    assert [one.update_loss_weights for one in asked] == [False, True, True, False]
    assert dict(zip(loss_weights.named(), asked[0].loss_weights, strict=True)) == pytest.approx(
        {"lncc": 1.0, "mse": 4.0, "smoothness": 2.0, "overlap": 1.5}
    )
    before = loss_weights.named()
    assert loss_weights.move(3, [report([0, 0, 0, 0])])["lambda.overlap"] == before["overlap"]
    row = loss_weights.move(4, [report([0.0, 0.0, 0.0, -1.0])])
    assert row["lambda.overlap"] > before["overlap"] and row["soft_dice"] == 0.5
    grown = loss_weights.named()["overlap"] / before["overlap"]
    assert loss_weights.named()["smoothness"] == pytest.approx(before["smoothness"] * grown**0.5)


def test_regularity_does_not_fall(flat_setting) -> None:
    loss_weights = moving(flat_setting)
    loss_weights.move(4, [report([0.0, 0.0, 1.0, 0.0])])
    assert loss_weights.named()["smoothness"] == pytest.approx(2.0)
    loss_weights.move(5, [report([0.0, 0.0, -3.0, 0.0])])
    assert loss_weights.named()["smoothness"] > 2.0


def test_only_a_search_moves_loss_weights(config: Config, choice: Choice, flat_phantoms, tmp_path) -> None:
    fixed = replace(choice, searched=False)
    rests = experiment.train(config, fixed, dataset=flat_phantoms, tracked=False, output=tmp_path / "rests")
    assert "lambda.overlap" not in read_table(rests / "history.parquet", (), command="")
    assert read_result(rests)["loss_weights"] == choice.loss_weights


def test_in_a_training_they_move_and_then_rest(config: Config, choice: Choice, flat_phantoms, tmp_path) -> None:
    output = experiment.train(config, choice, dataset=flat_phantoms, output=tmp_path / "moves")
    history = read_table(output / "history.parquet", (), command="")
    changed = history["lambda.overlap"].diff().fillna(history["lambda.overlap"].iloc[0] - 1.5).abs() > 1e-9
    assert list(np.flatnonzero(changed)) == [1, 2, 3, 4]
    ends = history.filter(like="lambda.").iloc[-1].to_dict()
    found = {f"lambda.{name}": weight for name, weight in read_result(output)["loss_weights"].items()}
    assert found == pytest.approx(ends)
    assert torch.load(output / "model.pt", weights_only=True)["loss_weights"] == pytest.approx(
        read_result(output)["loss_weights"]
    )
    assert read_yaml(output / "loss_weights.yaml") == choice.loss_weights  # what the training was given
    assert (output / "figures" / "lambda.png").exists()


def same_model(folder: Path, expected: Path) -> None:
    models = [torch.load(one / "model.pt", weights_only=True) for one in (folder, expected)]
    assert models[0]["loss_weights"] == models[1]["loss_weights"]
    assert all(torch.equal(models[0]["weights"][name], models[1]["weights"][name]) for name in models[1]["weights"])


@pytest.mark.parametrize("until", [3, 7])
def test_a_continued_training_equals_an_undisturbed_one(
    config: Config, choice: Choice, flat_phantoms, tmp_path, until: int
) -> None:
    """Stopped while they move, and after it."""
    whole = experiment.train(config, choice, dataset=flat_phantoms, tracked=False, output=tmp_path / "whole")
    parts = tmp_path / "parts"
    experiment.train(config, choice, dataset=flat_phantoms, tracked=False, output=parts, until=until)
    again = choose_again(config, parts)
    assert again.searched
    experiment.train(config, again, dataset=flat_phantoms, tracked=False, output=parts, resume=True)
    same_model(parts, whole)


def test_a_lost_round_moves_them_once(config: Config, choice: Choice, flat_phantoms, tmp_path, monkeypatch) -> None:
    """A worker is lost when its weights have moved; its round is done again, lambda moves as if nothing had been."""
    monkeypatch.setattr(rounds, "REPAIR_SECONDS", 0.0)
    calm = experiment.train(config, choice, dataset=flat_phantoms, tracked=False, output=tmp_path / "calm")
    lost, real = [2, 2, 4, 7], LocalPool.run_round

    def run_round(pool: LocalPool, task: RoundTask) -> list[RoundReport]:
        reports = list(real(pool, task))
        if task.index in lost:
            lost.remove(task.index)
            raise WorkerError("worker 0: lost")
        return reports

    monkeypatch.setattr(LocalPool, "run_round", run_round)
    disturbed = experiment.train(config, choice, dataset=flat_phantoms, tracked=False, output=tmp_path / "disturbed")
    assert not lost
    same_model(disturbed, calm)


def test_a_training_that_a_play_off_began_goes_on_with_them(config: Config, flat_phantoms, tmp_path) -> None:
    """The first four of its rounds are the play-off's; with a fixed lambda it is another training, and starts anew."""
    played = replace(config, search=replace(config.search, finalists=2, finalist_steps=2))
    search = experiment.search(played, dataset=flat_phantoms, tracked=False, output=tmp_path / "search")
    going_on = experiment.train(
        played, choose(played, search_folder=search), dataset=flat_phantoms, tracked=False, output=tmp_path / "on"
    )
    weights = search / "loss_weights.yaml"
    fixed = choose(played, search_folder=search, loss_weights=weights)
    anew = experiment.train(played, fixed, dataset=flat_phantoms, tracked=False, output=tmp_path / "anew")
    first = [
        next(key for key in read_table(folder / "cost.parquet", (), command="")["key"] if key.startswith("round"))
        for folder in (going_on, anew)
    ]
    assert first[0] != "round 0" and first[1] == "round 0"
    assert "lambda.overlap" in read_table(going_on / "history.parquet", (), command="")
    assert "lambda.overlap" not in read_table(anew / "history.parquet", (), command="")


def test_whoever_moves_them_is_not_trained_on_meanwhile(config: Config, flat_setting) -> None:
    _, setting, space = flat_setting
    assert isinstance(setting, Setting)
    roles = setting.roles(config.seed)
    assert not {*roles.loss_weights} & {*roles.weights}
    network = space.named_network("all-conv3")
    samplers = training_spec(config, setting, space, roles, network, moving_steps=10).samplers
    assert samplers.loss_weights is not None

    def subjects(steps: range) -> set[str]:
        keys = {key for step in steps for pair in samplers.weights.batch(step, 2) for key in pair}
        return {subject for subject in setting.dataset.train if any(key.startswith(subject) for key in keys)}

    assert not subjects(range(10)) & {*roles.loss_weights}
    assert subjects(range(10, 40)) == {*setting.training_subjects(roles)}
    movers = {key for step in range(10) for pair in samplers.loss_weights.batch(step, 2) for key in pair}
    assert all(any(key.startswith(subject) for subject in roles.loss_weights) for key in movers)


def test_another_share_is_refused_on_resume(config: Config, choice: Choice, flat_phantoms, tmp_path) -> None:
    output = experiment.train(config, choice, dataset=flat_phantoms, tracked=False, output=tmp_path / "run", until=2)
    other = replace(config, search=replace(config.search, moves_until=0.9))
    with pytest.raises(InputError, match=r"search\.moves_until: expected 0.5 as the run began, got 0.9"):
        experiment.train(other, choice, dataset=flat_phantoms, tracked=False, output=output, resume=True)


def test_a_share_is_between_0_and_1() -> None:
    with pytest.raises(InputError, match=r"search\.moves_until: expected 0 to 1, got 1.5"):
        load_config(shipped("launchers") / "configs" / "smoke.yaml", ["search.moves_until=1.5"])


def test_a_weight_of_0_cannot_move(config: Config, choice: Choice, flat_phantoms, tmp_path) -> None:
    zero = replace(choice, loss_weights={**choice.loss_weights, "mse": 0.0})
    with pytest.raises(InputError, match=r"loss weights: mse: expected more than 0, .* \(search.moves_until 0.5\)"):
        experiment.train(config, zero, dataset=flat_phantoms, tracked=False, output=tmp_path / "zero")


def test_a_round_has_the_steps_that_a_move_looks_back(config: Config, choice: Choice, flat_phantoms, tmp_path) -> None:
    short = replace(config, train=replace(config.train, steps_per_round=1))
    with pytest.raises(InputError, match=r"train.steps_per_round: expected at least 2 \(search.upper.horizon\)"):
        experiment.train(short, choice, dataset=flat_phantoms, tracked=False, output=tmp_path / "short")
