import pytest
import torch

from autoreg.data import augment
from autoreg.data.augment import random_affine

SHAPES = [(20, 24), (12, 14, 16)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ball(shape, radius=4.0):
    axes = torch.meshgrid(*[torch.arange(n) - (n - 1) / 2 for n in shape], indexing="ij")
    return (sum(axis**2 for axis in axes) < radius**2)[None, None]


@pytest.fixture
def only(monkeypatch):
    """Switches all but one kind of motion off."""

    def choose(name, value):
        for other in ("_DEGREES", "_SCALE", "_SHIFT"):
            monkeypatch.setattr(augment, other, value if other == name else 0.0)

    return choose


@pytest.mark.parametrize("shape", SHAPES)
def test_seed_decides_and_types_stay(shape):
    image = torch.rand(2, 1, *shape)
    mask, labels = ball(shape).expand(2, -1, *shape), ball(shape).expand(2, -1, *shape).long() * 7
    moved, moved_mask, moved_labels = random_affine(image, mask, labels, generator=generator())
    assert moved_labels is not None
    assert moved.shape == image.shape and moved_mask.dtype == torch.bool and moved_labels.dtype == torch.int64
    assert set(moved_labels.unique().tolist()) == {0, 7}
    assert torch.equal(moved_mask * 7, moved_labels)
    assert torch.equal(random_affine(image, mask, generator=generator())[0], moved)
    assert not torch.equal(random_affine(image, mask, generator=generator(1))[0], moved)
    assert not torch.equal(moved_labels[0], moved_labels[1])  # each of the batch moves its own way


@pytest.mark.parametrize("shape", SHAPES)
def test_no_motion_is_the_identity(shape, only):
    only("_SHIFT", 0.0)
    image = torch.rand(1, 1, *shape)
    moved, _, labels = random_affine(image, image > 0.5, generator=generator())
    assert torch.allclose(moved, image, atol=1e-5) and labels is None


@pytest.mark.parametrize("shape", SHAPES)
def test_shift_moves_the_centre_by_as_much(shape, only, monkeypatch):
    only("_SHIFT", 1.0)
    monkeypatch.setattr(augment, "_uniform", lambda count, _: torch.tensor([3.0, 2.0, 1.0][-count:]))  # reversed axes
    image = torch.zeros(1, 1, *shape)
    image[(0, 0, *[5] * len(shape))] = 1
    moved, _, _ = random_affine(image, image > 0, generator=generator())
    assert moved[(0, 0, *range(6, 6 + len(shape)))].item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_size_changes_by_the_scale(shape, only, monkeypatch):
    only("_SCALE", 0.5)
    monkeypatch.setattr(augment, "_uniform", lambda count, _: torch.ones(count))
    mask = ball(shape)
    _, moved, _ = random_affine(mask.float(), mask, generator=generator())
    assert moved.sum().item() == pytest.approx(1.5 ** len(shape) * mask.sum().item(), rel=0.1)
    assert moved[(0, 0, *[n // 2 for n in shape])]


def test_a_quarter_turn_swaps_axes_about_the_centre(only, monkeypatch):
    only("_DEGREES", 90.0)
    monkeypatch.setattr(augment, "_uniform", lambda count, _: torch.ones(count))
    image = torch.rand(1, 1, 9, 9)
    moved, _, _ = random_affine(image, image > 0, generator=generator())
    turns = [torch.rot90(image, k, (2, 3)) for k in (1, 3)]
    assert any(torch.allclose(moved, turned, atol=1e-4) for turned in turns)


@pytest.mark.parametrize("dims", [2, 3])
def test_ranges(dims):
    matrices = torch.stack([augment._random_matrix((11,) * dims, generator(seed)) for seed in range(300)])
    size = torch.linalg.det(matrices[:, :, :dims]) ** (1 / dims)
    assert 0.9 <= size.min() < 0.91 and 1.09 < size.max() <= 1.1
    shift = (matrices @ torch.tensor([5.0] * dims + [1.0]) - 5).abs()  # what becomes of the centre
    assert 2.9 < shift.max() <= 3.0 + 1e-4
