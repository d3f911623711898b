"""Two files registered: geometry against images known as functions of world position."""

from dataclasses import asdict, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine
from scipy import ndimage
from torch import Tensor, nn

from autoreg.data.synthetic import make_subject
from autoreg.errors import DataError
from autoreg.evaluation.files import (
    FileRegistration,
    register_files,
    write_transform,
    write_warped,
    write_warped_labels,
)
from autoreg.networks import Registration, build_network
from autoreg.registration.model import Model
from autoreg.registration.space import Term

CPU = torch.device("cpu")
SHIFT = (0.5, -1.0, 0.25)
FIXED_SHAPE, MOVING_SHAPE = (9, 10, 11), (26, 30, 28)


class Shift(nn.Module):
    """Moves everything by the same voxels; insists on sizes that its pyramid could halve twice."""

    multiple = 4

    def __init__(self, *voxels: float) -> None:
        super().__init__()
        self.voxels = torch.tensor(voxels)

    def forward(self, fixed: Tensor, moving: Tensor) -> Registration:
        assert fixed.shape == moving.shape and all(n % 4 == 0 for n in fixed.shape[2:])
        return Registration(self.voxels.view(1, -1, *[1] * (fixed.ndim - 2)).expand(-1, -1, *fixed.shape[2:]), ())


def shift_model(*voxels: float, common_affine: bool = True) -> Model:
    return Model(Shift(*voxels), {"architecture": {"dims": len(voxels)}}, common_affine=common_affine)


def rotation(degrees: float) -> np.ndarray:
    """About z, then about x."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def centred(linear: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Affine with the middle of the grid at one point of the world for all shapes."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = [30, -20, 10] - linear @ ((np.array(shape) - 1) / 2)
    return affine


def voxels(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)


def brightness(world: np.ndarray) -> np.ndarray:
    """Linear in position, so linear interpolation of it is exact; above 0 wherever the tests look."""
    return 500 + world @ np.array([3.0, -2.0, 1.5])


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    image = nib.Nifti1Image(array.astype(np.int16 if array.dtype.kind == "i" else np.float32), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    nib.save(image, path)
    return path


def ramp(path: Path, linear: np.ndarray, shape: tuple[int, ...]) -> Path:
    affine = centred(linear, shape)
    return save(path, brightness(apply_affine(affine, voxels(shape))), affine)


GEOMETRIES = {
    "same axes": np.diag([1.0, 1.0, 1.0]),
    "anisotropic": np.diag([1.0, 0.9, 1.6]),
    "flipped": np.diag([-1.0, 1.2, -1.0]),
    "swapped axes": np.array([[0, 1.0, 0], [0, 0, -1.0], [1.1, 0, 0]]),
    "oblique": rotation(20) @ np.diag([1.0, 1.1, 1.3]),
    "oblique and flipped": rotation(-35) @ np.diag([1.2, -1.0, 1.5]),
}


@pytest.fixture(params=GEOMETRIES)
def ramps(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """Fixed and moving files of one scene, the moving one with another geometry and a wider view."""
    fixed = ramp(tmp_path / "fixed.nii.gz", rotation(10) @ np.diag([0.8, -1.0, 0.9]), FIXED_SHAPE)
    return fixed, ramp(tmp_path / "moving.nii", GEOMETRIES[request.param], MOVING_SHAPE)


def test_warped_is_the_scene_at_the_shifted_fixed_voxels(ramps: tuple[Path, Path], tmp_path: Path) -> None:
    registration = register_files(shift_model(*SHIFT), *ramps, device=CPU)
    write_warped(registration, tmp_path / "warped.nii.gz")
    fixed, warped = nib.load(ramps[0]), nib.load(tmp_path / "warped.nii.gz")
    expected = brightness(apply_affine(fixed.affine, voxels(FIXED_SHAPE) + SHIFT))
    np.testing.assert_allclose(warped.get_fdata(), expected, atol=2e-3)
    assert registration.grid == "headers" and registration.displacement.shape == (1, 3, *FIXED_SHAPE)


def test_results_have_the_fixed_files_geometry(ramps: tuple[Path, Path], tmp_path: Path) -> None:
    write_warped(register_files(shift_model(*SHIFT), *ramps, device=CPU), tmp_path / "warped.nii.gz")
    fixed, warped = nib.load(ramps[0]).header, nib.load(tmp_path / "warped.nii.gz").header
    for form in ("get_qform", "get_sform"):
        (ours, our_code), (theirs, their_code) = (getattr(h, form)(coded=True) for h in (warped, fixed))
        np.testing.assert_array_equal(ours, theirs)
        assert our_code == their_code == 1
    assert warped.get_data_dtype() == np.float32


def test_a_reader_of_lps_vectors_resamples_the_same_image(ramps: tuple[Path, Path], tmp_path: Path) -> None:
    registration = register_files(shift_model(*SHIFT), *ramps, device=CPU)
    write_warped(registration, tmp_path / "warped.nii")
    write_transform(registration, tmp_path / "transform.nii.gz")
    fixed, moving, field = (nib.load(path) for path in (*ramps, tmp_path / "transform.nii.gz"))
    assert field.shape == (*FIXED_SHAPE, 1, 3) and field.header.get_intent()[0] == "vector"
    assert field.get_data_dtype() == np.float32
    np.testing.assert_array_equal(field.affine, fixed.affine)

    lps = np.diag([-1.0, -1.0, 1.0])
    point = apply_affine(field.affine, voxels(FIXED_SHAPE)) @ lps + field.get_fdata()[..., 0, :]
    at = apply_affine(np.linalg.inv(moving.affine), point @ lps)
    resampled = ndimage.map_coordinates(moving.get_fdata(), np.moveaxis(at, -1, 0), order=1)
    np.testing.assert_allclose(nib.load(tmp_path / "warped.nii").get_fdata(), resampled, atol=2e-3)


def test_the_transform_of_a_shift_in_a_plain_geometry(tmp_path: Path) -> None:
    """Known by hand: 2 mm voxels, so (1, 2, 3) voxels are (-2, -4, 6) mm in LPS."""
    image = save(tmp_path / "image.nii", np.arange(512.0).reshape(8, 8, 8) + 1, np.diag([2.0, 2.0, 2.0, 1.0]))
    write_transform(register_files(shift_model(1.0, 2.0, 3.0), image, image, device=CPU), tmp_path / "t.nii")
    vectors = nib.load(tmp_path / "t.nii").get_fdata().reshape(-1, 3)
    np.testing.assert_allclose(vectors, np.broadcast_to([-2.0, -4.0, 6.0], vectors.shape), atol=1e-4)


def test_a_big_endian_fixed_file_gives_a_vector_file_too(tmp_path: Path) -> None:
    values = np.arange(512.0).reshape(8, 8, 8).astype(">f4") + 1
    header = nib.Nifti1Header(endianness=">")
    nib.save(nib.Nifti1Image(values, np.eye(4), header), tmp_path / "big.nii")
    assert (tmp_path / "big.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    both = tmp_path / "big.nii"
    write_transform(register_files(shift_model(0.0, 0.0, 1.0), both, both, device=CPU), tmp_path / "t.nii")
    assert nib.load(tmp_path / "t.nii").header.get_intent()[0] == "vector"


def test_axes_stored_the_other_way_round_change_nothing(tmp_path: Path) -> None:
    """A seeded network that does move: its answer depends on the world, not on how the moving file lies on disk."""
    shape, affine = (32, 32, 32), centred(np.eye(3), (32, 32, 32))
    fixed, moving = (make_subject(i, modalities=["t1"], shape=shape, seed=0)[0][0].astype(float) for i in (0, 1))
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[[0, 2], 3] = 31
    paths = [
        save(tmp_path / "fixed.nii", fixed, affine),
        save(tmp_path / "moving.nii", moving, affine),
        save(tmp_path / "flipped.nii", moving[::-1, :, ::-1], affine @ flip),
    ]
    model = moving_model(seed=1)
    for name, path in (("a", paths[1]), ("b", paths[2])):
        write_warped(register_files(model, paths[0], path, device=CPU), tmp_path / f"{name}.nii")
    a, b = (nib.load(tmp_path / f"{name}.nii").get_fdata() for name in "ab")
    assert np.abs(a - moving).max() > 5  # the network is not the identity
    np.testing.assert_allclose(a, b, atol=0.05)


def moving_model(*, seed: int) -> Model:
    description = {
        "name": "all-conv3",
        "architecture": {"feature_channels": [4, 4], "feature_edges": 1, "deformation_channels": [4]},
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(description).eval()
        for cell in network.deformations:  # type: ignore[union-attr]
            nn.init.normal_(cell.head.weight, std=0.5)  # type: ignore[union-attr]
    return Model(network, description)


HALF, OTHER = np.diag([1.0, 1.0, 0.5]), np.diag([1.0, 1.0, 1.1])


@pytest.mark.parametrize(
    ("common_affine", "linear", "shape", "expected"),
    [
        (True, np.eye(3), (8, 8, 8), "headers"),
        (False, np.eye(3), (8, 8, 8), "voxels"),
        (False, np.eye(3), (8, 8, 9), "headers"),
        (False, OTHER, (8, 8, 8), "headers"),
    ],
)
def test_auto_trusts_headers_unless_the_training_files_did_not(
    tmp_path: Path, common_affine: bool, linear: np.ndarray, shape: tuple[int, ...], expected: str
) -> None:
    fixed, moving = ramp(tmp_path / "f.nii", np.eye(3), (8, 8, 8)), ramp(tmp_path / "m.nii", linear, shape)
    model = shift_model(0.0, 0.0, 0.0, common_affine=common_affine)
    assert register_files(model, fixed, moving, device=CPU).grid == expected


def test_voxels_match_index_by_index_whatever_the_headers_say(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(1, 9, (8, 9, 10))
    far = centred(HALF, (50, 50, 50))
    fixed, moving = save(tmp_path / "f.nii", values, np.eye(4)), save(tmp_path / "m.nii", values, far)
    registration = register_files(shift_model(0.0, 1.0, 0.0), fixed, moving, grid="voxels", device=CPU)
    write_warped(registration, tmp_path / "w.nii")
    np.testing.assert_allclose(nib.load(tmp_path / "w.nii").get_fdata()[:, :-1], values[:, 1:], atol=1e-4)


def test_two_dimensions(tmp_path: Path) -> None:
    """A plane with axes swapped on disk; one of the two is stored with a third axis of one voxel."""
    swap = np.array([[0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    scene = np.random.default_rng(0).uniform(1, 9, (9, 10))
    fixed = save(tmp_path / "f.nii", scene[..., None], np.eye(4))
    moving = save(tmp_path / "m.nii", scene.T, swap)
    registration = register_files(shift_model(1.0, 0.0), fixed, moving, device=CPU)
    write_warped(registration, tmp_path / "w.nii")
    write_transform(registration, tmp_path / "t.nii")
    warped, field = nib.load(tmp_path / "w.nii"), nib.load(tmp_path / "t.nii")
    assert warped.shape == (9, 10, 1) and field.shape == (9, 10, 1, 1, 2)
    np.testing.assert_allclose(warped.get_fdata()[:-1, :, 0], scene[1:], atol=1e-4)
    np.testing.assert_allclose(field.get_fdata()[..., 0, 0, :].reshape(-1, 2), [[-1.0, 0.0]] * 90, atol=1e-5)


@pytest.fixture
def registered(tmp_path: Path) -> FileRegistration:
    image = save(tmp_path / "image.nii", np.arange(512.0).reshape(8, 8, 8) + 1, np.eye(4))
    return register_files(shift_model(2.0, 0.0, 0.0), image, image, device=CPU)


def test_labels_are_moved_whole(registered: FileRegistration, tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 300, (8, 8, 8))
    write_warped_labels(registered, save(tmp_path / "l.nii", labels, np.eye(4)), tmp_path / "wl.nii.gz")
    written = nib.load(tmp_path / "wl.nii.gz")
    assert written.get_data_dtype() == np.int16
    np.testing.assert_array_equal(written.dataobj, np.pad(labels[2:], [(0, 2), (0, 0), (0, 0)]))


@pytest.mark.parametrize(
    ("shape", "affine", "field"),
    [((8, 8, 9), np.eye(4), "shape"), ((8, 8, 8), np.diag([-1.0, -1.0, 1.0, 1.0]), "affine")],
)
def test_labels_of_another_grid_are_refused(
    registered: FileRegistration, tmp_path: Path, shape: tuple[int, ...], affine: np.ndarray, field: str
) -> None:
    labels = save(tmp_path / "l.nii", np.ones(shape, dtype=int), affine)
    with pytest.raises(DataError, match=rf"l\.nii: {field}: expected the moving image's"):
        write_warped_labels(registered, labels, tmp_path / "wl.nii")


def missing(folder: Path) -> Path:
    return folder / "wrong.nii.gz"


def four_axes(folder: Path) -> Path:
    return save(folder / "wrong.nii.gz", np.ones((8, 8, 8, 2)), np.eye(4))


def truncated(folder: Path) -> Path:
    path = save(folder / "wrong.nii.gz", np.random.default_rng(0).normal(size=(8, 8, 8)), np.eye(4))
    path.write_bytes(path.read_bytes()[:900])
    return path


def flat(folder: Path) -> Path:
    return save(folder / "wrong.nii.gz", np.arange(64.0).reshape(8, 8), np.eye(4))


def constant(folder: Path) -> Path:
    return save(folder / "wrong.nii.gz", np.ones((8, 8, 8)), np.eye(4))


def elsewhere(folder: Path) -> Path:
    far = np.eye(4)
    far[0, 3] = 100
    return save(folder / "wrong.nii.gz", np.arange(512.0).reshape(8, 8, 8), far)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (missing, "file"),
        (four_axes, "shape"),
        (truncated, "voxels"),
        (flat, "dimensions"),
        (constant, "intensities"),
        (elsewhere, "affine"),
    ],
)
@pytest.mark.parametrize("wrong_is_fixed", [False, True])
def test_what_cannot_be_used_is_named(tmp_path: Path, make: object, field: str, wrong_is_fixed: bool) -> None:
    right, wrong = save(tmp_path / "right.nii", np.arange(512.0).reshape(8, 8, 8), np.eye(4)), make(tmp_path)  # type: ignore[operator]
    pair = (wrong, right) if wrong_is_fixed else (right, wrong)
    with pytest.raises(DataError, match=rf"{field}: ") as caught:
        register_files(shift_model(0.0, 0.0, 0.0), *pair, device=CPU)
    assert "wrong.nii.gz" in str(caught.value)


def test_voxels_need_one_shape(tmp_path: Path) -> None:
    fixed, moving = ramp(tmp_path / "f.nii", np.eye(3), (8, 8, 8)), ramp(tmp_path / "m.nii", np.eye(3), (8, 8, 9))
    with pytest.raises(DataError, match=r"m\.nii: shape: expected \(8, 8, 8\) as .*f\.nii .*got \(8, 8, 9\)"):
        register_files(shift_model(0.0, 0.0, 0.0), fixed, moving, grid="voxels", device=CPU)


def test_slices_across_each_other_are_refused(tmp_path: Path) -> None:
    upright = np.eye(4)[[0, 2, 1, 3]]
    scene = np.arange(72.0).reshape(8, 9)
    fixed, moving = save(tmp_path / "f.nii", scene, np.eye(4)), save(tmp_path / "m.nii", scene, upright)
    with pytest.raises(DataError, match="a slice parallel to"):
        register_files(shift_model(0.0, 0.0), fixed, moving, device=CPU)


@pytest.mark.parametrize("refine", [0, 30])
def test_refinement_happens_on_the_fixed_grid_whatever_the_headers(tmp_path: Path, refine: int) -> None:
    """The moving file is the fixed one 1.2 mm further along the world's first axis, on an oblique grid of its own."""
    step = np.array([1.2, 0, 0])
    shapes = {"fixed": (20, 22, 18), "moving": (34, 36, 30)}
    affines = {"fixed": centred(np.diag([1.5, 1.2, 1.4]), shapes["fixed"])}
    affines["moving"] = centred(rotation(20) @ np.diag([-1.0, 1.1, 1.3]), shapes["moving"])
    for side, move in (("fixed", 0), ("moving", step)):
        world = apply_affine(affines[side], voxels(shapes[side])) - move
        image = 100 + 50 * np.sin(world / 3.5 + [0, 1, 2]).mean(axis=-1)
        save(tmp_path / f"{side}.nii.gz", image, affines[side])
    terms = [Term("mse", "mse", reference=True), Term("smoothness", "diffusion", start=0.01)]
    weights = {term.name: term.start for term in terms}
    still = replace(shift_model(0.0, 0.0, 0.0), terms=[asdict(t) for t in terms], loss_weights=weights)
    paths = (tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz")
    found = register_files(still, *paths, refine=refine, device=CPU)
    inside = (slice(5, -5),) * 3
    x = voxels(shapes["fixed"])
    there = apply_affine(affines["moving"], x + np.moveaxis(found.displacement[0].numpy(), 0, -1))
    moved = (there - apply_affine(affines["fixed"], x))[inside].mean(axis=(0, 1, 2))
    if refine:
        assert moved[0] > 0.5 and np.abs(moved[1:]).max() < 0.3
    else:
        assert np.abs(moved).max() < 1e-3
