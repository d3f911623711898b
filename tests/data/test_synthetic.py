import json

import numpy as np
import pytest

from autoreg.data.check import check_dataset
from autoreg.data.dataset import load_dataset
from autoreg.data.nifti import read_image, read_labels
from autoreg.data.synthetic import CONTRASTS, LABEL_NAMES, make_phantoms, make_subject
from autoreg.errors import DataError, InputError

PLANE = (48, 48)


def subject(index, shape=PLANE, seed=0):
    return make_subject(index, modalities=("t1", "t2"), shape=shape, seed=seed)


@pytest.mark.parametrize("shape", [(48, 48), (32, 32, 32)])
def test_a_subject_has_all_structures_inside_an_empty_frame(shape):
    (t1, t2), labels = subject(0, shape)
    assert t1.dtype == t2.dtype == labels.dtype == np.uint8 and t1.shape == labels.shape == shape
    assert set(np.unique(labels)) == set(LABEL_NAMES)
    assert np.array_equal(t1 > 0, t2 > 0) and (t1[labels > 0] > 0).all()
    inner = np.zeros(shape, bool)
    inner[(slice(1, -1),) * len(shape)] = True
    assert not t1[~inner].any()


def test_contrasts_are_painted_as_tabled():
    images, labels = subject(1, (96, 96))
    for image, modality in zip(images, ("t1", "t2"), strict=True):
        means = [image[labels == number].mean() for number in (1, 2, 3)]
        assert np.allclose(means, CONTRASTS[modality][1:4], rtol=0.25)
    assert np.corrcoef(images[0][labels > 0], images[1][labels > 0])[0, 1] < -0.5


def test_left_is_left():
    _, labels = subject(2)
    for number, name in LABEL_NAMES.items():
        if name.startswith("left"):
            assert np.argwhere(labels == number)[:, 0].mean() < np.argwhere(labels == number + 1)[:, 0].mean()


def test_there_is_something_to_register():
    maps = [subject(index)[1] for index in range(6)]
    dice = [
        np.mean([2 * ((a == n) & (b == n)).sum() / ((a == n).sum() + (b == n).sum()) for n in range(1, 11)])
        for i, a in enumerate(maps)
        for b in maps[:i]
    ]
    assert 0.45 < np.mean(dice) < 0.7


@pytest.mark.parametrize(
    ("subjects", "splits"), [(6, (2, 2, 2)), (8, (4, 2, 2)), (20, (12, 4, 4))], ids=lambda value: str(value)
)
def test_written_set_is_sound(tmp_path, subjects, splits):
    path = make_phantoms(tmp_path, subjects=subjects, shape=(16, 16), spacing=1.5)
    dataset = load_dataset(path)
    assert check_dataset(path) == []
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == splits
    assert dataset.label_names == LABEL_NAMES
    assert len(dataset.pairs("test")) == splits[2] * (splits[2] - 1)
    assert np.array_equal(read_image(dataset.entries["phantom_001"].image_path)[1], np.diag([1.5, 1.5, 1.5, 1]))


def test_several_modalities_share_labels_and_are_paired_across(tmp_path):
    path = make_phantoms(tmp_path, subjects=6, modalities=("t1", "t2"), shape=(16, 16))
    dataset = load_dataset(path)
    assert check_dataset(path) == []
    assert dataset.pairs("val") == [("phantom_003_0000", "phantom_004_0001"), ("phantom_004_0000", "phantom_003_0001")]
    one, other = (read_labels(dataset.entries[f"phantom_001_{m}"].label_path)[0] for m in ("0000", "0001"))
    assert np.array_equal(one, other)
    assert json.loads(path.read_text())["modality"] == {"0": "t1", "1": "t2"}


def test_same_arguments_give_same_bytes_and_more_subjects_do_not_change_the_first(tmp_path):
    few, again, more, other = (tmp_path / name for name in ("few", "again", "more", "other"))
    make_phantoms(few, subjects=6, shape=(16, 16), seed=1)
    make_phantoms(again, subjects=6, shape=(16, 16), seed=1)
    make_phantoms(more, subjects=7, shape=(16, 16), seed=1)
    make_phantoms(other, subjects=6, shape=(16, 16), seed=2)
    for file in sorted(path.relative_to(few) for path in few.rglob("*.*")):
        assert (few / file).read_bytes() == (again / file).read_bytes()
        if file.parent.name == "images":
            assert (few / file).read_bytes() == (more / file).read_bytes() != (other / file).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"subjects": 5}, "subjects"),
        ({"modalities": ("ct",)}, "modalities"),
        ({"modalities": ("t1", "t1")}, "modalities"),
        ({"modalities": ()}, "modalities"),
        ({"shape": (16,)}, "shape"),
        ({"shape": (16, 16, 8)}, "shape"),
        ({"spacing": 0.0}, "spacing"),
    ],
)
def test_arguments_are_checked(tmp_path, arguments, field):
    with pytest.raises(DataError, match=f"phantoms: {field}: expected"):
        make_phantoms(tmp_path, **{"subjects": 6, "shape": (16, 16)} | arguments)


def test_a_file_in_the_folders_place_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: expected a folder, got a file"):
        make_phantoms(tmp_path / "file", subjects=6, shape=(16, 16))
