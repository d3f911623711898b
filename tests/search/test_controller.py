"""What each round of a search is to do."""

from dataclasses import replace

import pytest
import torch

from autoreg.config import load_space
from autoreg.errors import InputError
from autoreg.search.controller import SearchConfig, SearchDriver
from autoreg.search.upper import UpperConfig


def moves(**upper: str) -> list[tuple[bool, bool]]:
    config = SearchConfig(rounds=8, warmup_rounds=2, upper=UpperConfig(**upper))
    driver = SearchDriver(load_space("tiny", dims=3), config, bounds={"folds_percent": 0.3}, seed=0)
    return [(task.update_alpha, task.update_loss_weights) for task in map(driver.task, range(8))]


def test_levels_move_together_after_the_warm_up() -> None:
    assert moves() == [(False, False)] * 2 + [(True, True)] * 6


def test_sequential_is_alpha_first_and_the_loss_weights_after_it() -> None:
    assert moves(paths="sequential") == [(False, False)] * 2 + [(True, False)] * 3 + [(False, True)] * 3


@pytest.mark.parametrize(("levels", "expected"), [("alpha", (True, False)), ("loss_weights", (False, True))])
def test_one_level_alone(levels: str, expected: tuple[bool, bool]) -> None:
    assert moves(levels=levels) == [(False, False)] * 2 + [expected] * 6


def test_full_tells_the_workers_how_far_alpha_will_go() -> None:
    upper = UpperConfig(paths="full", loss_weights_estimator="through_output", alpha_learning_rate=0.3)
    config = SearchConfig(relaxation="softmax", upper=upper)
    driver = SearchDriver(load_space("tiny", dims=3), config, bounds={"folds_percent": 0.3}, seed=0)
    assert driver.task(0).alpha_step == pytest.approx(0.15)  # the first step of momentum with dampening one half


@pytest.mark.parametrize("space", ["tiny", "topology"])
def test_paths_are_drawn_around_the_stated_architecture(space: str) -> None:
    driver = SearchDriver(load_space(space, dims=3), SearchConfig(stated=0.7), bounds={}, seed=0)
    alpha = torch.from_numpy(driver.task(0).alpha)
    shares = alpha.softmax(dim=1)[torch.arange(len(alpha)), driver.choices.usual()]
    assert shares.numpy() == pytest.approx(0.7, abs=0.01)  # alpha itself starts with a little noise
    assert driver.upper.probabilities().max() < 0.51


def test_alpha_may_outweigh_the_stated_architecture() -> None:
    driver = SearchDriver(load_space("tiny", dims=3), SearchConfig(stated=0.7), bounds={}, seed=0)
    driver.upper.alpha[0, 0] += 5
    assert torch.from_numpy(driver.task(0).alpha)[0].softmax(0)[0] > 0.9


def test_all_options_may_be_drawn_alike() -> None:
    driver = SearchDriver(load_space("tiny", dims=3), SearchConfig(stated=0), bounds={}, seed=0)
    assert driver.task(0).alpha == pytest.approx(driver.upper.alpha.numpy())


@pytest.mark.parametrize("stated", [-0.1, 1.0])
def test_the_stated_option_never_gets_all(stated: float) -> None:
    with pytest.raises(InputError, match=r"search\.stated: expected 0 to less than 1, got"):
        SearchConfig(stated=stated)


@pytest.mark.parametrize(
    ("upper", "changes", "message"),
    [
        (
            {"paths": "full", "loss_weights_estimator": "through_output"},
            {"relaxation": "single-path"},
            "full needs relaxation softmax or partial-channel, got single-path",
        ),
        (
            {},
            {"removal": True, "relaxation": "single-path"},
            r"removal: expected relaxation softmax or .* got single-path",
        ),
        ({"levels": "loss_weights"}, {"removal": True}, r"removal: expected .* got partial-channel, loss_weights"),
        ({}, {"activation": "before"}, "activation: expected one of inside, after_sum, got 'before'"),
        ({"alpha_estimator": "unrolled", "horizon": 13}, {}, r"horizon: expected at most 12 \(steps_per_round\)"),
    ],
)
def test_what_does_not_go_together_is_named(upper: dict, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SearchConfig(upper=UpperConfig(**upper)), **changes)
