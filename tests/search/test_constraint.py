"""The augmented Lagrangian on a problem with a known multiplier."""

import pytest

from autoreg.search.constraint import LARGEST_EXCESS, PENALTY, Constraint


def test_it_finds_the_bounded_minimum_and_its_multiplier() -> None:
    """min (x - 2)^2 / 10 with x <= 1: at x = 1 the multiplier is 2 / 10."""
    x, constraint = 2.0, Constraint(bound=1.0)
    for _ in range(400):
        for _ in range(20):
            x -= 0.3 * ((x - 2) / 5 + constraint.price)
        constraint.update(x, stand_in=x)
    assert x == pytest.approx(1.0, abs=1e-3)
    assert constraint.multiplier == pytest.approx(0.2, abs=1e-3)


def test_a_bound_that_does_not_bind_costs_nothing() -> None:
    constraint = Constraint(bound=3.0)
    for _ in range(10):
        constraint.update(2.0, stand_in=2.0)
    assert constraint.multiplier == constraint.price == 0.0


@pytest.mark.parametrize("scale", [1e-4, 1.0, 50.0])
def test_the_units_of_the_stand_in_do_not_matter(scale: float) -> None:
    """What the whole of the stand-in costs is the multiplier times the figure in bounds."""
    constraint = Constraint(bound=0.3)
    constraint.update(0.6, stand_in=scale)
    assert constraint.price * scale == pytest.approx((constraint.multiplier + PENALTY) * 2)


def test_one_batch_gone_wrong_does_not_decide() -> None:
    constraint = Constraint(bound=0.3)
    constraint.update(100.0, stand_in=1.0)
    assert constraint.multiplier == pytest.approx(PENALTY * (1 + LARGEST_EXCESS))


def test_a_figure_whose_stand_in_is_gone_has_no_slope() -> None:
    constraint = Constraint(bound=0.3)
    constraint.update(0.6, stand_in=0.0)
    assert constraint.price == 0.0
