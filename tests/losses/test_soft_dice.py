"""Soft Dice: values by hand, absent labels, gradients."""

import pytest
import torch

from autoreg.losses import one_hot, soft_dice_loss
from autoreg.spatial import halve


def channels(*rows: list[float]) -> torch.Tensor:
    """One sample with a 2-D label channel (1, n) for every row."""
    return torch.tensor(rows).view(1, len(rows), 1, -1)


@pytest.mark.parametrize("space", [(2, 2), (1, 2, 2)])
def test_one_hot_keeps_the_order_of_the_numbers(space: tuple[int, ...]) -> None:
    labels = torch.tensor([0, 17, 3, 17]).view(1, 1, *space)
    encoded = one_hot(labels, [17, 3, 99])
    assert encoded.shape == (1, 3, *space) and encoded.dtype == torch.float32
    assert encoded.flatten(2)[0].tolist() == [[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("times", [0, 1, 2])
@pytest.mark.parametrize("space", [(8, 12), (4, 8, 13)])
def test_shares_on_a_coarser_grid_are_those_of_halved_channels(space: tuple[int, ...], times: int) -> None:
    labels = torch.randint(-1, 6, (2, 1, *space), generator=torch.Generator().manual_seed(0), dtype=torch.int16)
    numbers = [4, 0, 3, 17]
    whole = (labels == torch.tensor(numbers).view(1, -1, *[1] * len(space))).double()
    assert torch.equal(one_hot(labels, numbers, times=times).double(), halve(whole, times=times))


CASES = {
    "equal": (channels([1.0, 1.0, 0.0]), channels([1.0, 1.0, 0.0]), 0.0),
    "disjoint": (channels([1.0, 0.0]), channels([0.0, 1.0]), 1.0),
    "one of two": (channels([1.0, 1.0]), channels([1.0, 0.0]), 1 - 2 / 3),
    "soft": (channels([1.0, 0.0]), channels([0.5, 0.5]), 0.5),
    "mean of two labels": (channels([1.0, 0.0], [0.0, 1.0]), channels([1.0, 0.0], [1.0, 0.0]), 0.5),
    "absent label left out": (channels([1.0, 0.0], [0.0, 0.0]), channels([1.0, 0.0], [0.0, 0.0]), 0.0),
    "only in the warped": (channels([1.0, 0.0], [0.0, 0.0]), channels([1.0, 0.0], [0.0, 1.0]), 0.5),
    "nothing at all": (channels([0.0, 0.0]), channels([0.0, 0.0]), 0.0),
}


@pytest.mark.parametrize(("fixed", "warped", "expected"), CASES.values(), ids=CASES)
def test_values_by_hand(fixed: torch.Tensor, warped: torch.Tensor, expected: float) -> None:
    assert soft_dice_loss(fixed, warped).tolist() == [pytest.approx(expected)]


def test_samples_mask_their_own_labels() -> None:
    fixed = torch.cat([channels([1.0, 0.0], [0.0, 0.0]), channels([0.0, 0.0], [1.0, 0.0])])
    warped = torch.cat([channels([1.0, 0.0], [0.0, 0.0]), channels([0.0, 0.0], [0.0, 1.0])])
    assert soft_dice_loss(fixed, warped).tolist() == [0.0, 1.0]


def test_without_labels_the_gradient_is_zero() -> None:
    warped = torch.zeros(1, 2, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(soft_dice_loss(torch.zeros(1, 2, 3, 3), warped).sum(), warped)
    assert gradient.abs().max() == 0


def test_derivatives() -> None:
    generator = torch.Generator().manual_seed(0)
    fixed = (torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator) < 0.5).double()
    warped = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: soft_dice_loss(fixed, w), warped)
    assert torch.autograd.gradgradcheck(lambda w: soft_dice_loss(fixed, w), warped)


def test_half_precision_is_summed_in_float32() -> None:
    fixed = torch.ones(1, 1, 40, 40)
    value = soft_dice_loss(fixed.bfloat16(), (0.5 * fixed).bfloat16())
    assert value.dtype == torch.float32 and value.item() == pytest.approx(1 / 3)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="expected equal shapes"):
        soft_dice_loss(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, 3))
