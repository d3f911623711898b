"""`autoreg data prepare`: phantoms stored, turned and scaled in different ways come onto one grid, and go back."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner, Result

from autoreg.cli import main
from autoreg.data.check import check_dataset
from autoreg.data.dataset import load_dataset
from autoreg.data.landmarks import read_landmarks
from autoreg.data.nifti import read_image, read_labels
from autoreg.data.synthetic import make_subject
from autoreg.errors import InputError
from autoreg.intake.prepare import Preparation, prepare_dataset
from autoreg.metrics import dice

SHAPE = (26, 30, 24)
STORED = {  # voxel-to-world matrices of unlike scanners: axes, flips, spacing are said in the header
    "a": np.diag([2.0, 2.0, 2.0]),
    "b": np.diag([-2.0, 2.0, 2.0]),
    "c": np.array([[0, 0, 2.0], [2.0, 0, 0], [0, 2.0, 0]]),
    "d": np.diag([2.2, 2.2, 2.2]),
    "e": np.array([[1.97, -0.35, 0], [0.35, 1.97, 0], [0, 0, 2.0]]),
    "f": np.diag([2.0, -2.0, 2.0]),
}


def autoreg(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def affine_of(linear: np.ndarray, shape: tuple[int, ...], offset: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = offset - linear[:, : len(shape)] @ ((np.array(shape) - 1) / 2)
    return affine


def store(array: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """The array as a scanner with these axes stores it: the head stays upright in the world."""
    if array.ndim == 3:
        order = np.argmax(np.abs(linear), axis=0)
        array = np.transpose(array, order)
        signs = np.sign(linear[order, range(3)])
        array = array[tuple(slice(None, None, int(sign)) for sign in signs)]
    return np.ascontiguousarray(array)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dataset.json of six people; all but the first 4 to 14 mm away from where the first is."""
    folder = tmp_path_factory.mktemp("originals")
    for number, (name, linear) in enumerate(STORED.items()):
        images, labels = make_subject(number, modalities=["t1", "t2"], shape=SHAPE, seed=0)
        affine = affine_of(linear, store(labels, linear).shape, 2.0 * number)
        for kind, array in (("images", images[0] * 3), ("images", images[1]), ("labels", labels)):
            code = 1 if array is images[1] else 0
            (folder / kind).mkdir(exist_ok=True)
            values = store(array, linear).astype(np.int16)
            for file in (f"{name}_000{code}", f"{name}_0001")[: 1 if kind == "images" else 2]:
                nib.save(nib.Nifti1Image(values, affine), folder / kind / f"{file}.nii.gz")
    content = {
        "name": "unlike",
        "modality": {"0": "t1", "1": "t2"},
        "labels": {str(n): f"part {n}" for n in range(11)},
        "train": ["a", "b", "c", "d"],
        "test": ["e", "f"],
        "test_pairs": [["e_0000", "f_0001"]],
    }
    content["points"] = {}
    for key in ("e_0000", "f_0001"):
        table = content["points"][key] = f"{key}.csv"
        rows = [f"{x},{y},{z},part {n}" for n, (x, y, z) in centres(folder / "labels" / f"{key}.nii.gz").items()]
        (folder / table).write_text("\n".join(["x,y,z,name", *rows]))
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder / "dataset.json"


def centres(path: Path) -> dict[int, np.ndarray]:
    """Of each label, mm."""
    labels, affine = read_labels(path)
    return {n: affine[:3, :3] @ np.argwhere(labels == n).mean(axis=0) + affine[:3, 3] for n in np.unique(labels) if n}


@pytest.fixture(scope="module")
def prepared(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("run") / "prepared"
    done = autoreg("data", "prepare", originals, folder, "--reference", "a", "--quiet")
    assert done.exit_code == 0, done.output
    return folder, done


def record(folder: Path) -> dict:
    return json.loads((folder / "preparation.json").read_text())["subjects"]


def test_the_result_is_a_sound_data_set(prepared: tuple[Path, Result]) -> None:
    folder, done = prepared
    assert check_dataset(folder / "dataset.json") == []
    dataset = load_dataset(folder / "dataset.json")
    assert dataset.train == ("a", "b", "c", "d") and dataset.pairs("test") == [("e_0000", "f_0001")]
    affines = [read_image(entry.image_path)[1] for entry in dataset.entries.values()]
    np.testing.assert_allclose(affines, [affines[0]] * 12, atol=1e-6)
    np.testing.assert_allclose(affines[0][:3, :3], np.diag([2.0, 2.0, 2.0]), atol=1e-6)
    assert "before," in done.output and "reference:     a_0000" in done.output


def test_overlap_grows(prepared: tuple[Path, Result]) -> None:
    rows = record(prepared[0])
    assert rows["a"]["overlap_after"] == 1.0
    others = [rows[name] for name in "bcdef"]
    assert np.mean([row["overlap_before"] for row in others]) < 0.4
    assert np.mean([row["overlap_after"] for row in others]) > 0.5
    assert all(row["overlap_after"] > row["overlap_before"] for row in others)
    assert all(file["kept_percent"] > 97 for row in rows.values() for file in row["files"].values())


def test_intensities_are_of_one_range(prepared: tuple[Path, Result]) -> None:
    for entry in load_dataset(prepared[0] / "dataset.json").entries.values():
        image = read_image(entry.image_path)[0]
        assert image.min() == 0 and 800 < image.max() <= 1000


@pytest.mark.parametrize("key", ["e_0000", "f_0001"])
def test_landmarks_move_with_their_image(prepared: tuple[Path, Result], key: str) -> None:
    """A landmark in the middle of each part is there still, but for what the new grid makes of its border."""
    dataset = load_dataset(prepared[0] / "dataset.json")
    landmarks, middle = read_landmarks(dataset.points[key]), centres(dataset.entries[key].label_path)
    assert landmarks.names == tuple(f"part {n}" for n in middle)
    np.testing.assert_allclose(landmarks.positions, list(middle.values()), atol=1.0)  # half a voxel


@pytest.mark.parametrize("subject", ["a", "c", "e"])
def test_the_transforms_lead_there_and_back(
    prepared: tuple[Path, Result], originals: Path, tmp_path: Path, subject: str
) -> None:
    folder = prepared[0]
    name = f"{subject}_0000.nii.gz"
    ours, original = folder / "labels" / name, originals.parent / "labels" / name
    there = autoreg(
        "apply",
        folder / "transforms" / f"{subject}.tfm",
        original,
        "--labels",
        "--reference",
        ours,
        "--output",
        tmp_path / "there.nii.gz",
    )
    assert there.exit_code == 0, there.output
    assert (read_labels(tmp_path / "there.nii.gz")[0] != read_labels(ours)[0]).mean() < 1e-3
    back = autoreg(
        "apply",
        folder / "transforms" / f"{subject}_back.tfm",
        ours,
        "--labels",
        "--reference",
        original,
        "--output",
        tmp_path / "back.nii.gz",
    )
    assert back.exit_code == 0, back.output
    truth = read_labels(original)[0]
    assert np.nanmean(dice(truth, read_labels(tmp_path / "back.nii.gz")[0], [1, 2, 9])) > 0.85
    written = record(folder)[subject]["files"][f"{subject}_0000"]
    assert written["shape"] == list(truth.shape)
    np.testing.assert_allclose(written["affine"], read_labels(original)[1], atol=1e-6)


def test_believing_headers_moves_nobody(originals: Path, tmp_path: Path) -> None:
    asked = ("--no-affine", "--reference", "a", "--spacing", "3", "--shape", "32")
    done = autoreg("data", "prepare", originals, tmp_path / "out", *asked, "--quiet")
    assert done.exit_code == 0, done.output
    assert "32x32x32 of 3x3x3 mm" in done.output
    rows = record(tmp_path / "out")
    assert all(
        row["affine"] == np.eye(4).tolist() and row["overlap_before"] == row["overlap_after"] for row in rows.values()
    )
    assert check_dataset(tmp_path / "out" / "dataset.json") == []


def test_a_stopped_preparation_goes_on(originals: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    asked = Preparation(affine=False, reference="a")
    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(originals, tmp_path / "out", asked, progress=stop)
    assert sorted(record(tmp_path / "out")) == ["a", "b"] and not (tmp_path / "out" / "dataset.json").exists()
    first = tmp_path / "out" / "images" / "a_0000.nii.gz"
    first.write_bytes(b"kept as it is")
    seen = []
    prepare_dataset(originals, tmp_path / "out", asked, progress=lambda done, total: seen.append((done, total)))
    assert first.read_bytes() == b"kept as it is" and seen[-1] == (6, 6)
    assert len(record(tmp_path / "out")) == 6
    with pytest.raises(InputError, match=r"preparation\.json: settings: expected those of this call"):
        prepare_dataset(originals, tmp_path / "out", Preparation(affine=False, reference="b"))


def test_slices(tmp_path: Path) -> None:
    for number in range(6):
        images, labels = make_subject(number, modalities=["t1"], shape=(30, 34), seed=0)
        affine = affine_of(np.diag([2.0, -2.0, 1.0]), (30, 34), 3.0 * number)
        affine[2] = [0, 0, 1, 0]
        for kind, array in (("images", images[0]), ("labels", labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array.astype(np.int16), affine), tmp_path / kind / f"s{number}.nii.gz")
    ids = [f"s{number}" for number in range(6)]
    content = {"train": ids[:4], "test": ids[4:], "labels": {str(n): str(n) for n in range(11)}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    done = autoreg("data", "prepare", tmp_path / "dataset.json", tmp_path / "out", "--quiet")
    assert done.exit_code == 0, done.output
    assert check_dataset(tmp_path / "out" / "dataset.json") == []
    rows = [row for row in record(tmp_path / "out").values() if row["overlap_after"] < 1]
    assert np.mean([r["overlap_after"] for r in rows]) > np.mean([r["overlap_before"] for r in rows]) + 0.1


def test_negative_intensities_start_at_the_air(tmp_path: Path) -> None:
    """As in CT: the rule that the foreground is above 0 then holds."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        values = np.full((20, 20, 20), -1000, dtype=np.int16)
        values[5:15, 5:15, 5:15] = np.random.default_rng(0).integers(-100, 400, (10, 10, 10))
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "images" / f"{name}.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"train": ["a", "b"], "labels": {}}))
    prepare_dataset(tmp_path / "dataset.json", tmp_path / "out", Preparation(affine=False, shape=(20,)))
    image = read_image(tmp_path / "out" / "images" / "a.nii.gz")[0]
    assert image[0, 0, 0] == 0 and image[5:15, 5:15, 5:15].min() > 500 and image.max() == 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reference", "nobody"), "--reference: expected a subject of"),
        (("--spacing", "x"), "--spacing: expected numbers"),
        (("--spacing", "1,2"), "--spacing: expected one number or 3"),
    ],
)
def test_what_cannot_be_done_is_said(originals: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = autoreg("data", "prepare", originals, tmp_path / "out", *arguments)
    assert done.exit_code == 2 and message in done.output


def test_a_folder_with_something_else_is_left_alone(originals: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = autoreg("data", "prepare", originals, tmp_path)
    assert done.exit_code == 2 and "expected a new or empty one" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
