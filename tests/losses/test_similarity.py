"""Similarity terms: a brute-force window loop, invariances, masks, and derivatives."""

import math
from itertools import product

import pytest
import torch

from autoreg.losses import SIMILARITIES, lncc, mi, mind, mse
from autoreg.losses.similarity import _MI_VOXELS, _spread_indices

SPACES = [(9, 8), (6, 7, 8)]
NAMES = sorted(SIMILARITIES)


def pair(space: tuple[int, ...], batch: int = 2, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two related random images and a random mask with about 7 of 10 voxels inside."""
    generator = torch.Generator().manual_seed(3)
    fixed = torch.rand(batch, channels, *space, dtype=torch.float64, generator=generator)
    noise = torch.rand(batch, channels, *space, dtype=torch.float64, generator=generator)
    mask = torch.rand(batch, 1, *space, dtype=torch.float64, generator=generator) < 0.7
    return fixed, 0.6 * fixed + 0.4 * noise, mask.double()


def window_loop_lncc(fixed: torch.Tensor, warped: torch.Tensor, mask: torch.Tensor, window: int) -> float:
    """The definition, voxel by voxel, for one sample and channel without leading axes."""
    reach, total, count = window // 2, 0.0, 0
    for centre in product(*map(range, fixed.shape)):
        if not mask[centre]:
            continue
        box = tuple(slice(max(0, c - reach), c + reach + 1) for c in centre)
        inside = mask[box] > 0
        f, w = fixed[box][inside], warped[box][inside]
        covariance = ((f - f.mean()) * (w - w.mean())).mean()
        total += (covariance**2 / ((f.var(correction=0) + 1e-5) * (w.var(correction=0) + 1e-5))).item()
        count += 1
    return 1 - total / count


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("window", [3, 5, 9])
def test_lncc_equals_the_window_loop(space: tuple[int, ...], window: int) -> None:
    fixed, warped, mask = pair(space)
    expected = [window_loop_lncc(f[0], w[0], m[0], window) for f, w, m in zip(fixed, warped, mask, strict=True)]
    actual = lncc(fixed, warped, mask, window=window)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_lncc_in_float32_stays_close_to_float64() -> None:
    fixed, warped, mask = pair((16, 16, 16))
    offset = 0.9  # a bright image of little contrast, where E[x^2] - E[x]^2 cancels
    exact = lncc(fixed * 0.05 + offset, warped * 0.05 + offset, mask)
    single = lncc((fixed * 0.05 + offset).float(), (warped * 0.05 + offset).float(), mask.float())
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=2e-6)


@pytest.mark.parametrize("space", SPACES)
def test_lncc_does_not_see_a_linear_change_of_intensity(space: tuple[int, ...]) -> None:
    fixed, warped, mask = pair(space)
    before = lncc(fixed, warped, mask, window=5)
    torch.testing.assert_close(lncc(fixed, -0.7 * warped + 0.9, mask, window=5), before, rtol=0, atol=2e-3)
    assert lncc(fixed, 0.5 * fixed + 0.2, mask, window=5).max() < 5e-3 < before.min()


@pytest.mark.parametrize("window", [0, 4, -3])
def test_lncc_refuses_even_windows(window: int) -> None:
    with pytest.raises(ValueError, match="odd window"):
        lncc(*pair((5, 5)), window=window)


def test_mse_by_hand() -> None:
    fixed = torch.tensor([0.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2)
    warped = torch.tensor([0.1, 0.2, 0.3, 1.0]).view(1, 1, 2, 2)
    mask = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)
    assert mse(fixed, warped, mask).item() == pytest.approx((0.01 + 0.04 + 0.09) / 3)


@pytest.mark.parametrize("space", SPACES)
def test_mind_does_not_see_inverted_contrast(space: tuple[int, ...]) -> None:
    fixed, warped, mask = pair(space)
    assert mind(fixed, 1 - fixed, mask).max() < 1e-20
    torch.testing.assert_close(mind(fixed, 0.3 * fixed, mask), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-4)
    assert mind(fixed, warped, mask).min() > 1e-3


def test_mind_of_a_ramp_by_hand() -> None:
    """Far from the border all four pairs of a ramp along one axis differ alike, so all channels are exp(-0). Along
    a diagonal two pairs are equal and two differ by x: the mean is x / 2 and those channels are exp(-2)."""
    i, j = torch.meshgrid(torch.arange(30.0), torch.arange(30.0), indexing="ij")
    axis, diagonal = (0.01 * i).double()[None, None], (0.01 * (i + j)).double()[None, None]
    middle = torch.zeros(1, 1, 30, 30, dtype=torch.float64)
    middle[:, :, 10:20, 10:20] = 1
    expected = (1 - math.exp(-2)) ** 2 / 2
    assert mind(axis, diagonal, middle).item() == pytest.approx(expected, rel=5e-3)  # the noise floor remains


def test_mi_separates_equal_related_and_independent_images() -> None:
    fixed, warped, _ = pair((24, 24, 24), batch=1)
    mask = torch.ones_like(fixed)
    unrelated = fixed.flatten().roll(4567).view_as(fixed)
    same, inverse, related, independent = (
        mi(fixed, other, mask).item() for other in (fixed, 1 - fixed, warped, unrelated)
    )
    assert same == pytest.approx(inverse, abs=1e-9)
    assert same < 0.5 < related < 0.95 < independent <= 1


def test_mi_of_two_grey_values_by_hand() -> None:
    """Two bins, values on their centres: a kernel of half a bin leaves exp(-2) / (1 + exp(-2)) in the other one."""
    fixed = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64).view(1, 1, 2, 2)
    leak = torch.sigmoid(torch.tensor(-2.0, dtype=torch.float64))
    same, other = ((1 - leak) ** 2 + leak**2) / 2, leak * (1 - leak)
    joint = -2 * (same * same.log() + other * other.log())
    expected = 2 - 2 * math.log(2) / joint
    assert mi(fixed, fixed, torch.ones_like(fixed), bins=2).item() == pytest.approx(expected.item(), rel=1e-9)


def test_mi_voxels_are_bounded_and_cover_every_plane() -> None:
    inside = torch.ones(64, 64, 64, dtype=torch.bool)
    chosen = _spread_indices(inside.flatten())
    assert len(chosen) == len(chosen.unique()) == _MI_VOXELS < 2**15
    assert all(len(axis.unique()) == 64 for axis in torch.unravel_index(chosen, inside.shape))
    few = torch.tensor([False, True, True, False, True])
    assert _spread_indices(few).tolist() == [1, 2, 4]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", SPACES)
def test_every_sample_has_its_own_value(name: str, space: tuple[int, ...]) -> None:
    term, images = SIMILARITIES[name], pair(space, batch=3)
    together = term(*images)
    alone = torch.cat([term(*(t[i : i + 1] for t in images)) for i in range(3)])
    assert together.shape == (3,)
    assert together.min() >= 0 and together.max() <= 1
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("name", NAMES)
def test_channels_are_averaged(name: str) -> None:
    fixed, warped, mask = pair((8, 8), channels=2)
    term = SIMILARITIES[name]
    single = [term(fixed[:, c : c + 1], warped[:, c : c + 1], mask) for c in range(2)]
    torch.testing.assert_close(term(fixed, warped, mask), torch.stack(single).mean(0))


@pytest.mark.parametrize("name", ["lncc", "mi", "mse"])
def test_voxels_outside_the_mask_do_not_count(name: str) -> None:
    fixed, warped, mask = pair((8, 8))
    elsewhere = torch.where(mask > 0, warped, 1 - warped)
    term = SIMILARITIES[name]
    torch.testing.assert_close(term(fixed, elsewhere, mask), term(fixed, warped, mask))
    assert (term(fixed, elsewhere, torch.ones_like(mask)) - term(fixed, warped, mask)).abs().min() > 1e-3


@pytest.mark.parametrize(("name", "value"), [("lncc", 1.0), ("mi", 1.0), ("mse", 0.0), ("mind", 0.0)])
def test_empty_mask_gives_a_constant(name: str, value: float) -> None:
    fixed, warped, mask = pair((8, 8), batch=1)
    warped.requires_grad_()
    result = SIMILARITIES[name](fixed, warped, torch.zeros_like(mask))
    (gradient,) = torch.autograd.grad(result.sum(), warped)
    assert result.item() == value
    assert gradient.abs().max() == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("levels", [(0.0, 0.0), (0.5, 0.5), (0.3, 1.0)])
def test_constant_images_have_finite_derivatives(
    name: str, space: tuple[int, ...], levels: tuple[float, float]
) -> None:
    fixed = torch.full((1, 1, *space), levels[0])
    warped = torch.full((1, 1, *space), levels[1], requires_grad=True)
    value = SIMILARITIES[name](fixed, warped, torch.ones_like(fixed)).sum()
    (gradient,) = torch.autograd.grad(value, warped, create_graph=True)
    (second,) = torch.autograd.grad((gradient**2).sum(), warped)
    assert value.isfinite() and gradient.isfinite().all() and second.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", [(4, 5), (3, 4, 3)])
def test_derivatives_match_finite_differences(name: str, space: tuple[int, ...]) -> None:
    fixed, warped, mask = pair(space, batch=1)
    settings = {"lncc": {"window": 3}, "mi": {"bins": 4}, "mind": {"radius": 1, "dilation": 1}, "mse": {}}[name]

    def term(image: torch.Tensor) -> torch.Tensor:
        return SIMILARITIES[name](fixed, image, mask, **settings)

    assert torch.autograd.gradcheck(term, warped.requires_grad_())
    assert torch.autograd.gradgradcheck(term, warped, rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_nothing(name: str) -> None:
    fixed, warped, mask = (t.float() for t in pair((8, 8)))
    term = SIMILARITIES[name]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = term(fixed, warped, mask)
    assert torch.equal(inside, term(fixed, warped, mask))
    assert term(fixed.bfloat16(), warped.bfloat16(), mask).dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fixed_shape", "warped_shape", "mask_shape"),
    [
        ((1, 1, 4, 4), (1, 1, 4, 5), (1, 1, 4, 4)),
        ((2, 2, 4, 4), (2, 2, 4, 4), (2, 2, 4, 4)),
        ((1, 1, 4, 4),) * 2 + ((4, 4),),
    ],
)
def test_shapes_that_differ_are_refused(
    name: str, fixed_shape: tuple[int, ...], warped_shape: tuple[int, ...], mask_shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected fixed and warped"):
        SIMILARITIES[name](torch.rand(fixed_shape), torch.rand(warped_shape), torch.ones(mask_shape))
