"""Saved fields, read back by someone who knows nothing of AutoReg."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from autoreg.data.synthetic import make_subject
from autoreg.data.volume import Volume
from autoreg.errors import DataError, InputError
from autoreg.evaluation.fields import number_keys, save_field, save_fields
from autoreg.evaluation.pairs import evaluate_pairs
from autoreg.networks import Registration
from autoreg.registration.model import Model

NUMBERS = list(range(1, 11))
AFFINE = np.diag([1.5, 1.5, 2.0, 1.0])


class Waves(nn.Module):
    """A smooth displacement, up to two voxels, different in every component."""

    multiple = 4

    def forward(self, fixed: Tensor, moving: Tensor) -> Registration:
        shape = fixed.shape[2:]
        axes = torch.meshgrid(*[torch.linspace(0, 3, n) for n in shape], indexing="ij")
        field = torch.stack([(1 + axis / 2) * torch.sin(axes[axis - 1] + axis) for axis in range(len(shape))])
        return Registration(field[None], ())


def phantom(index: int, shape: tuple[int, ...]) -> Volume:
    (image,), labels = make_subject(index, modalities=["t1"], shape=shape, seed=0)
    ready = image.astype(np.float32) / 255
    return Volume(f"p{index}", ready, (image > 0).astype(np.uint8), labels.astype(np.int16), AFFINE)


@pytest.mark.parametrize("shape", [(32, 30, 32), (34, 32)])
def test_an_independent_reader_finds_the_same_dice(tmp_path: Path, shape: tuple[int, ...]) -> None:
    volumes = {v.key: v for v in (phantom(0, shape), phantom(1, shape))}
    model, pairs, device = Model(Waves(), {}), [("p0", "p1")], torch.device("cpu")
    save_fields(tmp_path, model, volumes, pairs, device=device)
    frame = evaluate_pairs(model, volumes, pairs, label_numbers=NUMBERS, device=device)

    written = nib.load(tmp_path / "disp_0001_0000_0002_0000.nii.gz")
    field = np.asarray(written.dataobj)
    assert field.shape == (*shape, len(shape)) and field.dtype == np.float32
    np.testing.assert_allclose(written.affine, AFFINE)
    identity = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    fixed, moving = (volumes[key].labels for key in pairs[0])
    warped = ndimage.map_coordinates(moving, identity + np.moveaxis(field, -1, 0), order=0)
    for number, ours in zip(NUMBERS, frame["dice"], strict=True):
        sizes = (fixed == number).sum() + (warped == number).sum()
        theirs = 2 * ((fixed == number) & (warped == number)).sum() / sizes if sizes else np.nan
        assert ours == pytest.approx(theirs, abs=1e-3, nan_ok=True)
    assert (frame["dice"] < 0.95).any()  # the field does something


def test_the_index_names_pairs_shape_and_ids(tmp_path: Path) -> None:
    volumes = {v.key: v for v in (phantom(0, (16, 18)), phantom(1, (16, 18)))}
    save_fields(tmp_path, Model(Waves(), {}), volumes, [("p1", "p0")], device=torch.device("cpu"))
    description = json.loads((tmp_path / "dataset.json").read_text())
    pair = {"fixed": "./imagesTr/AutoReg_0002_0000.nii.gz", "moving": "./imagesTr/AutoReg_0001_0000.nii.gz"}
    assert description["registration_val"] == [pair]
    assert description["tensorImageShape"] == {"0": [16, 18]}
    assert (tmp_path / "ids.csv").read_text() == "id,number\np0,0001_0000\np1,0002_0000\n"
    assert (tmp_path / "disp_0002_0000_0001_0000.nii.gz").exists()


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        (["1006", "1013"], ["1006_0000", "1013_0000"]),
        (["OASIS_0001_0000", "OASIS_0001_0001"], ["0001_0000", "0001_0001"]),
        (["b_7", "a_12", "b_7"], ["0002_0000", "0001_0000", "0002_0000"]),
        (["A_0001", "B_0001"], ["0001_0000", "0002_0000"]),  # own digits would clash
        (["1006", "p1"], ["0001_0000", "0002_0000"]),
        (["12345"], ["0001_0000"]),
    ],
)
def test_keys_keep_four_digits_or_are_counted(keys: list[str], numbers: list[str]) -> None:
    table = number_keys(keys)
    assert [table[key] for key in keys] == numbers


def test_more_keys_than_four_digits_count_are_refused() -> None:
    with pytest.raises(DataError, match="fewer than 10000"):
        number_keys(str(n) for n in range(10_000))


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_components_come_last_in_axis_order(tmp_path: Path, dims: int, batched: bool) -> None:
    field = np.arange(float(dims)).reshape(dims, *[1] * dims) * np.ones((dims, *range(3, 3 + dims)))
    given = field[None] if batched else field
    path = save_field(tmp_path / "new", given, AFFINE, "a", "b", {"a": "0007_0000", "b": "0008_0001"})
    assert path.name == "disp_0007_0000_0008_0001.nii.gz"
    np.testing.assert_array_equal(nib.load(path).dataobj, np.moveaxis(field, 0, -1))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken: expected a folder, got a file"):
        save_field(tmp_path / "taken", torch.zeros(1, 2, 3, 3), AFFINE, "a", "b", {"a": "0001_0000", "b": "0002_0000"})
