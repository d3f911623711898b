import io

import numpy as np
import pytest
from PIL import Image

from autoreg.reporting.slices import read_slices, slice_viewer, take_slices

FOLD = (212, 0, 120)
BLUE, ORANGE = (86, 180, 233), (230, 159, 0)


def shown(viewer, name, slice_index):
    """The enlarged slice as (i, j, 3), first axis to the right and second up again."""
    view = next(view for view in viewer.views if view.name == name)
    picture = np.asarray(Image.open(io.BytesIO(view.png)).convert("RGB"))
    tile = np.split(picture, len(viewer.slices))[slice_index]
    return tile[::-1].transpose(1, 0, 2)


def scene(shape=(10, 12, 5), **change):
    volume = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    given = {"fixed": volume, "moving": 1 - volume, "warped": volume, "displacement": np.zeros((len(shape), *shape))}
    given |= change
    return take_slices(*given.values(), title="a pair", spacing=(1.0, 2.0, 3.0)[: len(shape)])


def near(colours, expected):
    return np.abs(colours.astype(int) - expected).max(axis=-1) <= 1


def test_every_slice_is_where_the_slider_looks_for_it():
    slices = scene()
    viewer = slice_viewer(slices)
    times = shown(viewer, "fixed", 0).shape[0] // 10
    for index in range(5):
        grey = shown(viewer, "fixed", index)[::times, ::times, 0] / 255
        np.testing.assert_allclose(grey, slices.arrays["fixed"][..., index], atol=1 / 255)
    assert viewer.aspect == pytest.approx(10 * 1.0 / (12 * 2.0))


def test_a_flat_image_is_one_slice():
    viewer = slice_viewer(scene((10, 12)))
    assert viewer.slices == (0,)
    assert shown(viewer, "warped", 0).shape[0] % 10 == 0


def test_of_many_slices_some_are_taken_from_end_to_end():
    slices = scene((10, 10, 100))
    numbers = slices.arrays["indices"]
    assert len(numbers) == 40
    assert (numbers[0], numbers[-1]) == (0, 99)
    assert slices.arrays["determinant"].shape == (10, 10, 40)


def test_folds_are_pink_and_only_folds():
    field = np.zeros((3, 10, 12, 5))
    field[0, 5:] = -2.0 * np.arange(5).reshape(-1, 1, 1)  # mirrored in the upper half
    view = shown(slice_viewer(scene(displacement=field)), "Jacobian", 2)
    times = view.shape[0] // 10
    pink = near(view, FOLD)[times // 2 :: times, times // 2 :: times]
    assert pink[6:9, 1:-1].all()
    assert not pink[:4].any()


def test_equal_images_have_no_difference_and_unlike_ones_have():
    viewer = slice_viewer(scene())
    assert np.ptp(shown(viewer, "fixed - warped", 2).astype(int), axis=(0, 1)).max() == 0
    assert np.ptp(shown(viewer, "fixed - moving", 2).astype(int), axis=(0, 1)).max() > 100


def test_labels_are_outlined_in_their_two_colours():
    labels = np.zeros((10, 12, 5), dtype=np.int16)
    labels[3:6, 3:6] = 1
    moved = np.roll(labels, 3, axis=1)
    zeros = np.zeros((10, 12, 5), dtype=np.float32)
    slices = take_slices(
        zeros, zeros, zeros, np.zeros((3, 10, 12, 5)), title="", spacing=(1, 1, 1), labels=(labels, moved)
    )
    view = shown(slice_viewer(slices), "labels on the fixed image", 2)
    times = view.shape[0] // 10
    blue, orange = np.argwhere(near(view, BLUE)) // times, np.argwhere(near(view, ORANGE)) // times
    assert blue.min(axis=0).tolist() == [3, 3]
    assert orange.max(axis=0).tolist() == [5, 8]


def test_grid_lines_follow_the_displacement():
    field = np.zeros((3, 40, 40, 3), dtype=np.float32)
    still = shown(slice_viewer(scene((40, 40, 3), displacement=field)), "deformation grid", 1)
    field[0] = 1.0  # half a mesh: lines come to lie between the old ones
    moved = shown(slice_viewer(scene((40, 40, 3), displacement=field)), "deformation grid", 1)
    times = still.shape[0] // 40
    np.testing.assert_array_equal(moved[: -2 * times], still[times:-times])
    assert (moved != still).any()


def test_slices_come_back_from_their_file(tmp_path):
    slices = scene()
    slices.save(tmp_path / "slices.npz")
    again = read_slices(tmp_path / "slices.npz")
    assert again.title == "a pair"
    np.testing.assert_allclose(again.arrays["fixed"], slices.arrays["fixed"], atol=1e-3)
    np.testing.assert_array_equal(again.arrays["indices"], slices.arrays["indices"])
