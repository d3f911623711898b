"""Refinement on images that are known functions of position."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoreg.data.volume import Volume
from autoreg.errors import InputError
from autoreg.metrics import folds_percent
from autoreg.networks import Registration
from autoreg.registration.batch import PairBatch, load_batch
from autoreg.registration.model import Model
from autoreg.registration.refine import HALVINGS, SMALLEST, refine, register_batch, register_refined, unsupervised
from autoreg.registration.space import Term
from autoreg.spatial import halve

CPU = torch.device("cpu")
SPACES = {2: (24, 22), 3: (16, 18, 16)}
SHIFT = 0.8
MSE = Term("mse", "mse", reference=True)
SMOOTH = Term("smoothness", "diffusion", level=1)
FOLDING = Term("folding", "folding", start=100, level=1)
OVERLAP = Term("overlap", "dice")


class Network(nn.Module):
    """The same field for every pair; insists on sizes that a pyramid could halve twice."""

    multiple = 4

    def __init__(self, field: Tensor | None = None) -> None:
        super().__init__()
        self.field = field
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, fixed: Tensor, moving: Tensor) -> Registration:
        still = fixed.new_zeros(1, fixed.ndim - 2, *fixed.shape[2:])
        return Registration(self.weight * (still if self.field is None else self.field), ())


def model(*terms: Term, field: Tensor | None = None) -> Model:
    weights = {term.name: term.start for term in terms}
    return Model(Network(field), {}, loss_weights=weights, terms=[asdict(term) for term in terms])


def waves(dims: int, shift: float) -> np.ndarray:
    """A smooth pattern of 0..1, oblique waves, whose every point lies `shift` voxels further along each axis."""
    directions = np.random.default_rng(0).normal(size=(8, dims))
    directions *= 0.6 / np.linalg.norm(directions, axis=1, keepdims=True)
    phase = np.tensordot(directions, np.indices(SPACES[dims]) - shift, axes=1)
    return np.mean([0.5 + 0.5 * np.sin(p + i) for i, p in enumerate(phase)], axis=0).astype(np.float32)


def volumes(dims: int, *, labelled: bool = False) -> dict[str, Volume]:
    space = SPACES[dims]
    images = {"f": waves(dims, 0), "m": waves(dims, SHIFT)}
    labels = {k: (image > 0.5).astype(np.int16) if labelled else None for k, image in images.items()}
    return {k: Volume(k, image, np.ones(space, np.uint8), labels[k], np.eye(4)) for k, image in images.items()}


def batch_of(dims: int) -> PairBatch:
    return load_batch(volumes(dims), [("f", "m")], multiple=4, device=CPU)


def objective(of: Model, batch: PairBatch, displacement: Tensor) -> float:
    terms, weights = unsupervised(of)
    values = terms.terms_of(batch, Registration(displacement, (halve(displacement) / 2,)))
    return float(values @ torch.tensor(weights))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_smooth_shift_is_recovered(dims: int) -> None:
    batch, weak = batch_of(dims), model(MSE, Term("smoothness", "diffusion", start=0.01, level=1))
    start = register_batch(weak, batch)
    found = refine(weak, batch, start, steps=40)[batch.crop]
    inner = found[(..., *[slice(4, -4)] * dims)]
    assert (inner - SHIFT).abs().mean() < 0.25 * SHIFT
    assert folds_percent(found) == 0


def test_a_motion_too_far_for_the_steps_on_the_images_own_grid_is_found_on_coarser_ones() -> None:
    """Ten steps of 0.04 voxels on each grid: 0.4 voxels of the finest, 2.8 over all three."""
    space, shift = (64, 64), 2.4
    far = np.indices(space).sum(0) / 9
    images = {key: (0.5 + 0.5 * np.sin(far - 2 * by / 9)).astype(np.float32) for key, by in (("f", 0), ("m", shift))}
    pair = {key: Volume(key, image, np.ones(space, np.uint8), None, np.eye(4)) for key, image in images.items()}
    given = replace(model(MSE, Term("smoothness", "diffusion", start=0.001)), halvings=HALVINGS)
    batch = load_batch(pair, [("f", "m")], multiple=4, device=CPU)
    found = refine(given, batch, register_batch(given, batch), steps=10)[..., 12:-12, 12:-12]
    assert (found - shift).abs().mean() < 0.25 * shift


def test_of_an_image_too_small_to_halve_only_its_own_grid_is_used() -> None:
    batch = batch_of(3)
    assert min(batch.fixed.image.shape[2:]) < 2 * SMALLEST
    given = model(MSE, SMOOTH)
    found = refine(given, batch, register_batch(given, batch), steps=3)
    assert found.shape == (1, 3, *batch.fixed.image.shape[2:]) and found.abs().max() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_the_objective_falls_and_the_network_stays(dims: int) -> None:
    batch, given = batch_of(dims), model(MSE, SMOOTH, FOLDING)
    start = register_batch(given, batch)
    found = refine(given, batch, start, steps=10)
    assert objective(given, batch, found) < objective(given, batch, start)
    (weight,) = given.network.parameters()
    assert weight.tolist() == [1.0] and weight.grad is None
    assert not found.requires_grad and start.abs().max() == 0


@pytest.mark.parametrize("rough", [0.0, 0.6], ids=["from no folds", "from some folds"])
def test_there_are_no_folds(rough: float) -> None:
    """Without any term against it and with far too long steps, every late state folds."""
    field = rough * torch.randn(1, 2, 24, 24, generator=torch.Generator().manual_seed(0))
    batch, wild = batch_of(2), model(MSE, field=field)
    start = register_batch(wild, batch)
    found = refine(wild, batch, start, steps=15, rate=3.0)
    assert folds_percent(found[batch.crop]) == 0
    assert (folds_percent(start[batch.crop]) > 0) == (rough > 0)


def test_where_it_folds_the_velocity_is_calmed_and_the_rest_counts() -> None:
    """Long steps and noise in one corner fold voxels; the smooth shift elsewhere is found all the same."""
    given, noisy = model(MSE, Term("smoothness", "diffusion", start=0.01, level=1)), volumes(2)
    corner = np.s_[:8, :8]
    generator = np.random.default_rng(1)
    for volume in noisy.values():
        volume.image[corner] = generator.random((8, 8), dtype=np.float32)
    batch = load_batch(noisy, [("f", "m")], multiple=4, device=CPU)
    found = refine(given, batch, register_batch(given, batch), steps=40, rate=1.0)[batch.crop]
    assert folds_percent(found) == 0
    assert (found[..., 12:-4, 12:-4] - SHIFT).abs().mean() < 0.5 * SHIFT


def test_when_nothing_is_better_the_start_comes_back() -> None:
    batch, wild = batch_of(2), model(MSE)
    start = register_batch(wild, batch)
    assert refine(wild, batch, start, steps=3, rate=1e4) is start


def test_no_steps_are_the_network_alone() -> None:
    given = model(field=torch.rand(1, 2, 24, 24))
    assert torch.equal(register_batch(given, batch_of(2), steps=0), given.network.field)


def test_the_same_again_and_labels_play_no_part() -> None:
    given, pair = model(MSE, SMOOTH, OVERLAP), ("f", "m")
    runs = [register_refined(given, volumes(2, labelled=on), pair, steps=5, device=CPU) for on in (False, False, True)]
    assert torch.equal(runs[0], runs[1]) and torch.equal(runs[0], runs[2])
    assert runs[0].shape == (1, 2, *SPACES[2])
    assert runs[0].abs().max() > 0


@pytest.mark.parametrize(("terms", "words"), [((), "older file"), ((OVERLAP, SMOOTH), "compares images")])
def test_a_model_that_cannot_be_refined_says_why(terms: tuple[Term, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        register_batch(model(*terms), batch_of(2), steps=1)
