"""A transform from disk applied to files."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scenes import MOVING_SHAPE, save

from autoreg.errors import DataError, InputError
from autoreg.evaluation.files import FileRegistration, write_inverse, write_transform, write_warped, write_warped_labels
from autoreg.metrics import tre_mm
from autoreg.transforms.apply import apply_file
from autoreg.transforms.itk import write_affine
from autoreg.transforms.points import move_points
from autoreg.transforms.transform import AffineTransform, FieldTransform, Geometry


@pytest.mark.parametrize("suffix", [".nii.gz", ".h5", ".npz"])
def test_an_image_is_warped_as_register_warped_it(registered: FileRegistration, tmp_path: Path, suffix: str) -> None:
    write_warped(registered, tmp_path / "warped.nii.gz")
    write_transform(registered, tmp_path / f"t{suffix}")
    told = apply_file(
        tmp_path / f"t{suffix}", registered.moving_path, tmp_path / "again.nii.gz", reference=registered.fixed_path
    )
    first, again = nib.load(tmp_path / "warped.nii.gz"), nib.load(tmp_path / "again.nii.gz")
    np.testing.assert_allclose(again.get_fdata(), first.get_fdata(), atol=5e-3)
    np.testing.assert_array_equal(again.affine, first.affine)
    assert told["interpolation"] == "linear" and "note" not in told


def test_the_grid_of_the_transform_is_the_default(registered_2d: FileRegistration, tmp_path: Path) -> None:
    write_warped(registered_2d, tmp_path / "warped.nii.gz")
    write_transform(registered_2d, tmp_path / "t.nii.gz")
    apply_file(tmp_path / "t.nii.gz", registered_2d.moving_path, tmp_path / "again.nii.gz")
    ours = nib.load(tmp_path / "again.nii.gz").get_fdata()
    np.testing.assert_allclose(ours, nib.load(tmp_path / "warped.nii.gz").get_fdata(), atol=5e-3)


def test_a_finer_reference_sees_the_same_scene(registered: FileRegistration, tmp_path: Path) -> None:
    """Twice as many voxels: every second one is a voxel of the fixed grid."""
    write_warped(registered, tmp_path / "warped.nii.gz")
    write_transform(registered, tmp_path / "t.nii.gz")
    finer = registered.fixed_affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    reference = save(tmp_path / "finer.nii.gz", np.zeros((25, 23, 21)), finer)
    apply_file(tmp_path / "t.nii.gz", registered.moving_path, tmp_path / "w.nii.gz", reference=reference)
    ours = nib.load(tmp_path / "w.nii.gz").get_fdata()[::2, ::2, ::2]
    np.testing.assert_allclose(ours, nib.load(tmp_path / "warped.nii.gz").get_fdata(), atol=5e-3)


def test_labels_take_the_nearest_voxel(registered: FileRegistration, tmp_path: Path) -> None:
    write_transform(registered, tmp_path / "t.npz")
    numbers = np.broadcast_to(1 + np.arange(MOVING_SHAPE[0])[:, None, None] // 5, MOVING_SHAPE)
    labels = save(tmp_path / "labels.nii.gz", numbers, registered.moving_affine)
    write_warped_labels(registered, labels, tmp_path / "first.nii.gz")
    apply_file(tmp_path / "t.npz", labels, tmp_path / "again.nii.gz", labels=True)
    first, again = (nib.load(tmp_path / f"{name}.nii.gz") for name in ("first", "again"))
    assert again.get_data_dtype() == np.int16
    assert (again.get_fdata() != first.get_fdata()).mean() < 2e-3
    told = apply_file(tmp_path / "t.npz", labels, tmp_path / "mixed.nii.gz")
    assert "looks like a label map, not like an image; --labels" in told["note"]


def test_an_affine_map_needs_a_reference(registered: FileRegistration, tmp_path: Path) -> None:
    write_affine(tmp_path / "a.tfm", AffineTransform(np.eye(4)))
    with pytest.raises(InputError, match="--reference: expected an image"):
        apply_file(tmp_path / "a.tfm", registered.moving_path, tmp_path / "w.nii.gz")
    reference = {"reference": registered.moving_path}
    apply_file(tmp_path / "a.tfm", registered.moving_path, tmp_path / "w.nii.gz", **reference)
    np.testing.assert_allclose(nib.load(tmp_path / "w.nii.gz").get_fdata(), registered.moving, atol=1e-3)


def write_landmarks(registered: FileRegistration, path: Path, columns: str) -> np.ndarray:
    """Voxels of the fixed grid; the file has them in voxels or in mm, and a column of names."""
    voxels = np.random.default_rng(0).uniform(1, 9, (6, 3))
    values = voxels if columns == "ijk" else registered.fixed_geometry.to_world(voxels)
    pd.DataFrame(values, columns=list(columns)).assign(name=list("abcdef")).to_csv(path, index=False)
    return voxels


def test_landmarks_reach_the_place_that_the_image_came_from(registered: FileRegistration, tmp_path: Path) -> None:
    """p -> p + u(p): with the results as moving landmarks the registration error is 0, in voxels and in mm."""
    write_transform(registered, tmp_path / "t.nii.gz")
    fixed = write_landmarks(registered, tmp_path / "voxels.csv", "ijk")
    write_landmarks(registered, tmp_path / "mm.csv", "xyz")
    told = apply_file(
        tmp_path / "t.nii.gz", tmp_path / "voxels.csv", tmp_path / "v.csv", reference=registered.moving_path
    )
    apply_file(tmp_path / "t.nii.gz", tmp_path / "mm.csv", tmp_path / "m.csv")
    voxels, mm = pd.read_csv(tmp_path / "v.csv"), pd.read_csv(tmp_path / "m.csv")
    assert told["direction"] == "from the fixed to the moving image" and list(voxels["name"]) == list("abcdef")
    moving = voxels[list("ijk")].to_numpy()
    assert tre_mm(fixed, moving, registered.displacement, registered.moving_affine).max() < 1e-3
    np.testing.assert_allclose(registered.moving_geometry.to_world(moving), mm[list("xyz")], atol=1e-3)


def test_landmarks_come_back_by_the_inverse(registered: FileRegistration, tmp_path: Path) -> None:
    write_transform(registered, tmp_path / "t.h5")
    write_inverse(registered, tmp_path / "i.h5")
    write_landmarks(registered, tmp_path / "p.csv", "xyz")
    apply_file(tmp_path / "t.h5", tmp_path / "p.csv", tmp_path / "q.csv")
    apply_file(tmp_path / "i.h5", tmp_path / "q.csv", tmp_path / "r.csv")
    start, end = (pd.read_csv(tmp_path / f"{name}.csv")[list("xyz")].to_numpy() for name in "pr")
    assert np.linalg.norm(end - start, axis=1).max() < 0.25  # the inverse between its voxels is interpolated


def test_landmarks_of_a_slice() -> None:
    grid = Geometry((4, 5), np.diag([2.0, 2.0, 1.0, 1.0]))
    field = FieldTransform(grid, np.broadcast_to(np.float32([2.0, 4.0, 0.0]), (4, 5, 3)))
    assert move_points(pd.DataFrame({"x": [1.0], "y": [2.0]}), field).to_numpy().tolist() == [[3.0, 6.0]]
    assert move_points(pd.DataFrame({"i": [1.0], "j": [2.0]}), field, grid).to_numpy().tolist() == [[2.0, 4.0]]


@pytest.mark.parametrize(
    ("text", "reference", "message"),
    [
        ("a,b,c\n1,2,3\n", True, "expected x, y, z .mm, RAS.. or i, j, k .voxels., got a, b, c"),
        ("x,y,z\n1,2,here\n", True, "expected numbers"),
        ("", True, "expected a CSV table"),
        ("i,j,k\n1,2,3\n", False, "expected a field and a --reference"),
        ("i,j\n1,2\n", True, "expected 3 voxel columns"),
    ],
)
def test_landmarks_that_cannot_be_used(
    registered: FileRegistration, tmp_path: Path, text: str, reference: bool, message: str
) -> None:
    write_transform(registered, tmp_path / "t.nii.gz")
    (tmp_path / "p.csv").write_text(text)
    given = registered.moving_path if reference else None
    with pytest.raises(DataError, match=message) as caught:
        apply_file(tmp_path / "t.nii.gz", tmp_path / "p.csv", tmp_path / "o.csv", reference=given)
    assert str(caught.value).count("p.csv") == 1


def test_images_that_do_not_fit(registered: FileRegistration, tmp_path: Path) -> None:
    write_transform(registered, tmp_path / "t.nii.gz")
    flat = save(tmp_path / "flat.nii", np.ones((8, 8)), np.eye(4))
    with pytest.raises(DataError, match=r"flat\.nii: dimensions: expected 3 as the transform's, got 2"):
        apply_file(tmp_path / "t.nii.gz", flat, tmp_path / "w.nii")
    away = np.eye(4)
    away[0, 3] = 900
    far = save(tmp_path / "far.nii", np.ones((8, 8, 8)), away)
    with pytest.raises(DataError, match=r"far\.nii: affine: expected an image that meets the reference"):
        apply_file(tmp_path / "t.nii.gz", far, tmp_path / "w.nii")
