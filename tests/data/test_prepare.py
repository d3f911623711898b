import numpy as np
import pytest

from autoreg.data.dataset import DataConfig
from autoreg.data.entries import Entry
from autoreg.data.nifti import write_nifti
from autoreg.data.prepare import load_volume, normalise
from autoreg.errors import DataError

ALL = DataConfig(foreground="all", percentiles=(0, 100))
POSITIVE = DataConfig(percentiles=(0, 100))


@pytest.mark.parametrize(
    ("config", "raw", "image", "foreground"),
    [
        (ALL, [-1, 0, 1, 3], [0, 0.25, 0.5, 1], [1, 1, 1, 1]),
        (POSITIVE, [-1, 0, 1, 3, 2], [0, 0, 0, 1, 0.5], [0, 0, 1, 1, 1]),
        (DataConfig(percentiles=(25, 75)), [0, 1, 2, 3, 4, 5], [0, 0, 0, 0.5, 1, 1], [0, 1, 1, 1, 1, 1]),
        (POSITIVE, [0, 7, 7], [0, 1, 1], [0, 1, 1]),  # a mask
        (POSITIVE, [-5, 0, 7, 7], [0, 0, 1, 1], [0, 0, 1, 1]),
    ],
)
def test_foreground_percentiles_become_0_and_1(config, raw, image, foreground):
    got, mask = normalise(np.array([raw], np.float32), config, "a.nii")
    assert got.dtype == np.float32 and np.allclose(got, [image])
    assert mask.dtype == np.uint8 and mask.tolist() == [foreground]


@pytest.mark.parametrize(("config", "raw"), [(ALL, [5, 5]), (POSITIVE, [0, 0]), (POSITIVE, [-2, -1])])
def test_images_without_contrast_are_refused(config, raw):
    with pytest.raises(DataError, match=r"a.nii: intensities: expected a foreground"):
        normalise(np.array([raw], np.float32), config, "a.nii")


def test_volume_of_an_entry(tmp_path):
    image, label = tmp_path / "a.nii", tmp_path / "b.nii"
    write_nifti(image, np.array([[0, 1, 3]], np.float32), np.diag([2.0, 2.0, 2.0, 1.0]))
    write_nifti(label, np.array([[0, 4, 4]], np.uint8), np.eye(4))
    volume = load_volume(Entry("a", "a", "0000", image, label), POSITIVE)
    assert volume.labels is not None
    assert (volume.image.tolist(), volume.labels.tolist(), volume.spacing) == ([[0, 0, 1]], [[0, 4, 4]], (2.0, 2.0))
    assert load_volume(Entry("a", "a", "0000", image, None), POSITIVE).labels is None


def test_labels_of_another_shape_are_refused(tmp_path):
    image, label = tmp_path / "a.nii", tmp_path / "b.nii"
    write_nifti(image, np.array([[0, 1, 3]], np.float32), np.eye(4))
    write_nifti(label, np.array([[0, 4]], np.uint8), np.eye(4))
    with pytest.raises(DataError, match=r"b.nii: shape: expected the image's \(1, 3\), got \(1, 2\)"):
        load_volume(Entry("a", "a", "0000", image, label), POSITIVE)
