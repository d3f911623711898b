import numpy as np
import pytest

from autoreg.data.check import check_dataset, summarise
from autoreg.data.dataset import load_dataset
from autoreg.data.nifti import write_nifti

IDS = [f"s{i}" for i in range(8)]
RAMP = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_sound_dataset_has_no_problem(write_dataset):
    assert check_dataset(write_dataset(IDS, train=IDS[:4], test=IDS[4:])) == []


def test_every_problem_is_found_at_once(write_dataset, tmp_path):
    path = write_dataset(IDS, train=[*IDS[:6], "s9"], test=["s0", "s6", "s7"], test_pairs=[["s6", "z"]])
    images, labels = tmp_path / "images", tmp_path / "labels"
    (images / "s1.nii.gz").write_bytes(b"junk")
    write_nifti(images / "s2.nii.gz", np.where(RAMP > 3, np.nan, RAMP), np.eye(4))
    write_nifti(images / "s3.nii.gz", np.full_like(RAMP, 7), np.eye(4))
    write_nifti(images / "s4.nii.gz", RAMP[:, :, :3], np.eye(4))
    write_nifti(labels / "s5.nii.gz", np.full(RAMP.shape, 9, np.uint8), np.diag([1.0, 1.0, 1.01, 1.0]))
    write_nifti(labels / "s6.nii.gz", -RAMP, np.eye(4))
    expected = [
        f"{path}: train: expected an image of each id",
        f"{path}: test: expected people that are in no other split, got s0",
        f"{path}: test_pairs: expected file stems of this dataset, got z",
        f"{images}/s1.nii.gz: file:",
        f"{images}/s2.nii.gz: voxels:",
        f"{images}/s3.nii.gz: intensities:",
        f"{labels}/s4.nii.gz: shape: expected the image's (2, 3, 3), got (2, 3, 4)",
        f"{labels}/s5.nii.gz: labels: expected numbers named in dataset.json, got 9",
        f"{labels}/s5.nii.gz: affine: expected the image's, got a difference of 0.01",
        f"{labels}/s6.nii.gz: labels: expected numbers from 0 to 32767",
        f"{images}/s4.nii.gz: shape: expected (2, 3, 4) as most volumes here, got (2, 3, 3)",
    ]
    problems = check_dataset(path)
    assert len(problems) == len(expected)
    assert all(problem.startswith(start) for problem, start in zip(problems, expected, strict=True))


def test_affines_may_differ_by_rounding(write_dataset, tmp_path):
    path = write_dataset(IDS, test=IDS)
    write_nifti(tmp_path / "labels" / "s0.nii.gz", (RAMP > 3).astype(np.uint8), np.diag([1.0005, 1.0, 1.0, 1.0]))
    assert check_dataset(path) == []


def test_unreadable_description_is_one_problem(tmp_path):
    assert check_dataset(tmp_path / "none.json")[0].startswith(f"{tmp_path}/none.json: file: expected")


@pytest.mark.parametrize(
    ("splits", "roles", "note"),
    [
        ({"train": IDS[:4], "val": IDS[4:6], "test": IDS[6:]}, 5, "architecture, selection share"),
        ({"test": IDS}, 0, "no search on this dataset"),
    ],
)
def test_summary(write_dataset, splits, roles, note):
    summary = summarise(load_dataset(write_dataset(IDS, **splits, same_subject_rescans=[IDS[6:]])))
    assert (summary["volumes"], summary["people"], summary["labelled_volumes"]) == (8, 7, 8)
    assert (summary["shapes"], summary["spacings_mm"]) == ([(2, 3, 4)], [(1.0, 1.0, 1.0)])
    assert summary["splits"]["test"] == len(splits["test"])
    assert len(summary["roles"]) == roles
    assert note in " ".join(summary["notes"])
