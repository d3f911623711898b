"""`autoreg data init` on folders as people have them."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner, Result

from autoreg.cli import main
from autoreg.data.check import check_dataset
from autoreg.data.dataset import load_dataset
from autoreg.data.synthetic import make_subject

SHAPE = (14, 16, 12)


def autoreg(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)


def fill(
    folder: Path, name: Callable[[int, str], str], people: int = 8, kinds: tuple[str, ...] = ("t1", "labels")
) -> None:
    """Phantoms of people as files called `name(person, kind)`."""
    for person in range(people):
        images, labels = make_subject(person, modalities=["t1", "t2"], shape=SHAPE, seed=0)
        arrays = {"t1": images[0], "t2": images[1], "labels": labels.astype(np.uint8)}
        for kind in kinds:
            save(folder / name(person, kind), arrays[kind])


def bids(person: int, kind: str) -> str:
    base = f"sub-{person:02d}/anat/sub-{person:02d}"
    return {"t1": f"{base}_T1w.nii.gz", "t2": f"{base}_T2w.nii.gz", "labels": f"derivatives/{base}_dseg.nii.gz"}[kind]


def plain(person: int, kind: str) -> str:
    return f"{'labels' if kind == 'labels' else 'images'}/s{person}.nii.gz"


def silent(person: int, kind: str) -> str:
    """Names that do not say which is the label map."""
    return f"s{person}/{'one' if kind == 'labels' else 'two'}.nii.gz"


@pytest.mark.parametrize("layout", [bids, plain, silent])
def test_a_data_set_that_the_check_accepts(tmp_path: Path, layout: Callable[[int, str], str]) -> None:
    fill(tmp_path, layout)
    done = autoreg("data", "init", tmp_path, "--quiet")
    assert done.exit_code == 0, done.output
    assert check_dataset(tmp_path / "dataset.json") == []
    dataset = load_dataset(tmp_path / "dataset.json")
    assert [len(dataset.split(split)) for split in ("train", "val", "test")] == [4, 2, 2]
    assert all(dataset.labelled(subject) for subject in dataset.people)
    assert set(dataset.label_names) >= {0, 1, 2} and dataset.label_names[0] == "background"
    assert (tmp_path / "dataset.png").read_bytes().startswith(b"\x89PNG")
    assert "next:" in done.output and "not placed" not in done.output
    assert ("by content" in done.output) == (layout is silent)


def test_modalities_and_visits(tmp_path: Path) -> None:
    fill(tmp_path, bids, kinds=("t1", "t2", "labels"))
    fill(tmp_path, lambda person, kind: f"sub-{person:02d}/ses-2/sub-{person:02d}_ses-2_T1w.nii.gz", 2, ("t1",))
    done = autoreg("data", "init", tmp_path, "--quiet")
    assert done.exit_code == 0, done.output
    dataset = load_dataset(tmp_path / "dataset.json")
    assert json.loads((tmp_path / "dataset.json").read_text())["modality"] == {"0": "t1w", "1": "t2w"}
    assert dataset.same_subject == (("sub-00", "sub-00_ses-2"), ("sub-01", "sub-01_ses-2"))
    assert dataset.entries["sub-03_0001"].image_path.name == "sub-03_T2w.nii.gz"
    assert dataset.entries["sub-03_0001"].label_path == dataset.entries["sub-03_0000"].label_path
    assert "not every modality of 2 subjects" in done.output and "data.fixed_modality" in done.output


def test_what_cannot_be_placed_is_listed_with_its_reason(tmp_path: Path) -> None:
    fill(tmp_path, plain, people=6)
    image, labels = np.arange(SHAPE[0] * SHAPE[1] * SHAPE[2], dtype=np.float32).reshape(SHAPE), np.ones(SHAPE, np.uint8)
    save(tmp_path / "images" / "series.nii.gz", np.stack([image] * 2, axis=-1))
    save(tmp_path / "labels" / "s77.nii.gz", labels)
    save(tmp_path / "labels" / "s0_gt.nii.gz", labels)
    save(tmp_path / "labels" / "s9.nii.gz", labels[:5])
    save(tmp_path / "images" / "s9.nii.gz", image)
    save(tmp_path / "labels" / "s8.nii.gz", image / 7)
    save(tmp_path / "images" / "s8.nii.gz", image)
    (tmp_path / "images" / "s5b.nii.gz").write_bytes(b"torn")
    (tmp_path / "images" / "s6.nrrd").write_bytes(b"other")
    (tmp_path / ".hidden.nii.gz").write_bytes(b"unseen")
    done = autoreg("data", "init", tmp_path, "--quiet")
    assert done.exit_code == 0, done.output
    for file, reason in {
        "images/series.nii.gz": "shape: expected a 2-D or 3-D volume",
        "labels/s77.nii.gz": "no image of this subject",
        "labels/s0_gt.nii.gz": "another label map of s0 beside s0.nii.gz",
        "labels/s9.nii.gz": "a label map on no image's grid",
        "labels/s8.nii.gz": "labels: expected whole numbers",
        "images/s5b.nii.gz": "file: expected a NIfTI file",
        "images/s6.nrrd": "not NIfTI",
    }.items():
        assert f"{file}: {reason}" in done.output
    assert "7 files" in done.output and "hidden" not in done.output
    assert check_dataset(tmp_path / "dataset.json") == []


def test_patterns_seed_and_names_of_labels(tmp_path: Path) -> None:
    fill(tmp_path, lambda person, kind: f"raw/{person:03d}-{kind}.nii.gz", people=12)
    (tmp_path / "labels.tsv").write_text("index\tname\n1\tcortex\n2\twhite matter\n")
    patterns = ("--images", "raw/{subject}-{modality}.nii.gz", "--labels", "raw/{subject}-labels.nii.gz")
    drawn = []
    for seed in (0, 1):
        output = tmp_path / f"draw{seed}.json"
        done = autoreg(
            "data", "init", tmp_path, *patterns, "--seed", seed, "--output", output, "--split", "0.5,0.25,0.25"
        )
        assert done.exit_code == 0, done.output
        drawn.append(load_dataset(output))
    assert [len(drawn[0].split(split)) for split in ("train", "val", "test")] == [6, 3, 3]
    assert drawn[0].test != drawn[1].test and drawn[0].label_names[2] == "white matter"
    assert drawn[0].label_names[3] == "label 3" and "000" in drawn[0].people


def test_differing_grids_lead_to_prepare(tmp_path: Path) -> None:
    fill(tmp_path, plain, people=6)
    other = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    save(tmp_path / "images" / "s6.nii.gz", other, np.diag([2.0, 2.0, 2.0, 1.0]))
    done = autoreg("data", "init", tmp_path, "--quiet")
    assert "14x16x12 (6), 10x10x10 (1)" in done.output and "autoreg data prepare" in done.output


def test_slices(tmp_path: Path) -> None:
    for person in range(6):
        images, labels = make_subject(person, modalities=["t1"], shape=(20, 22), seed=0)
        save(tmp_path / plain(person, "t1"), images[0])
        save(tmp_path / plain(person, "labels"), labels.astype(np.uint8))
    assert autoreg("data", "init", tmp_path, "--quiet").exit_code == 0
    assert check_dataset(tmp_path / "dataset.json") == []


@pytest.mark.parametrize("name", ["dataset.json", "dataset.png"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    fill(tmp_path, plain, people=6)
    (tmp_path / name).write_text("mine")
    done = autoreg("data", "init", tmp_path)
    assert done.exit_code == 2 and f"{name}: file: expected none yet, got one" in done.output
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "images: expected NIfTI files, got none that can be placed"),
        (("--split", "a,b"), "--split: expected numbers with commas"),
        (("--split", "1,1,1"), "--split: expected three shares"),
        (("--output", "/elsewhere/dataset.json"), "--output: expected a file in"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = autoreg("data", "init", tmp_path, *arguments)
    assert done.exit_code == 2 and message in done.output


def test_no_such_folder(tmp_path: Path) -> None:
    done = autoreg("data", "init", tmp_path / "gone")
    assert done.exit_code == 2 and "gone: folder: expected a folder of NIfTI files" in done.output
