"""Bad files, tried as a user meets them: one line that names file and field, code 2, before any training."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner, Result

CONFIG = Path(__file__).parents[1] / "launchers" / "configs" / "smoke.yaml"


def _first(folder: Path, kind: str) -> Path:
    return sorted((folder / kind).glob("*.nii.gz"))[0]


def _save(path: Path, values: np.ndarray) -> str:
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path.name


def truncated(folder: Path) -> str:
    path = _first(folder, "images")
    path.write_bytes(path.read_bytes()[:2000])
    return path.name


def not_nifti(folder: Path) -> str:
    path = _first(folder, "images")
    path.write_bytes(gzip.compress(b"no volume at all"))
    return path.name


def empty(folder: Path) -> str:
    path = _first(folder, "images")
    path.write_bytes(b"")
    return path.name


def nan_volume(folder: Path) -> str:
    values = np.ones((24, 24, 24), dtype=np.float32)
    values[3, 4, 5] = np.nan
    return _save(_first(folder, "images"), values)


def labels_of_another_shape(folder: Path) -> str:
    return _save(_first(folder, "labels"), np.ones((24, 24, 20), dtype=np.uint8))


def labels_with_fractions(folder: Path) -> str:
    return _save(_first(folder, "labels"), np.full((24, 24, 24), 0.5, dtype=np.float32))


def four_axes(folder: Path) -> str:
    return _save(_first(folder, "images"), np.ones((24, 24, 24, 2), dtype=np.float32))


def missing_file(folder: Path) -> str:
    path = _first(folder, "images")
    path.unlink()
    return path.name


def _edit(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / "dataset.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def missing_id(folder: Path) -> str:
    _edit(folder, lambda values: values["train"].append("nobody_999"))
    return "nobody_999"


def a_subject_in_two_splits(folder: Path) -> str:
    _edit(folder, lambda values: values["train"].append(values["test"][0]))
    return "train"


def a_path_that_leaves_the_folder(folder: Path) -> str:
    def change(values: dict) -> None:
        values["training"] = [{"image": "../../etc/passwd.nii.gz"}]

    _edit(folder, change)
    return "../../etc/passwd.nii.gz"


def no_json(folder: Path) -> str:
    (folder / "dataset.json").write_text("{ not json")
    return "dataset.json"


BAD = [
    truncated, not_nifti, empty, nan_volume, labels_of_another_shape, labels_with_fractions, four_axes, missing_file,
    missing_id, a_subject_in_two_splits, a_path_that_leaves_the_folder, no_json,
]  # fmt: skip


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_one_line_names_the_culprit_before_any_work(phantoms, tmp_path, capsys, spoil):
    from autoreg.cli import main

    folder = tmp_path / "data"
    shutil.copytree(phantoms.parent, folder)
    named = spoil(folder)
    output = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        main(["search", str(CONFIG), "--dataset", str(folder / "dataset.json"), "--output", str(output), "--quiet"])
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2
    assert len(error.splitlines()) == 1
    assert named in error
    assert not output.exists()


def test_check_reports_every_problem_at_once(phantoms, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(phantoms.parent, folder)
    images = sorted((folder / "images").glob("*.nii.gz"))
    images[0].write_bytes(images[0].read_bytes()[:2000])
    _save(images[1], np.full((24, 24, 24), np.nan, dtype=np.float32))
    _save(_first(folder, "labels"), np.ones((24, 24, 20), dtype=np.uint8))
    command = [sys.executable, "-m", "autoreg", "data", "check", folder / "dataset.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for path in images[:2]:
        assert path.name in done.stderr


def test_a_torn_model_is_named(tmp_path, capsys):
    from autoreg.cli import main

    (tmp_path / "model.pt").write_bytes(b"torn")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(tmp_path), "--dataset", "nowhere.json"])
    assert ended.value.code == 2
    assert "model.pt" in capsys.readouterr().err


def autoreg(*arguments: object) -> Result:
    from autoreg.cli import main

    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="autoreg")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    from autoreg.networks import build_network
    from autoreg.registration.model import save_model

    folder = tmp_path_factory.mktemp("model")
    architecture = {"feature_channels": [4, 4], "feature_edges": 1, "deformation_channels": [4]}
    description = {"name": "all-conv3", "architecture": architecture}
    named = {"data": {}, "labels": {}, "loss_weights": {}, "common_affine": True}
    save_model(folder / "model.pt", description=description, weights=build_network(description).state_dict(), **named)
    return folder


def test_a_label_map_as_an_image_is_noted_and_so_is_an_image_as_a_label_map(phantoms, model, tmp_path):
    image, other = sorted((phantoms.parent / "images").glob("*.nii.gz"))[:2]
    labels = phantoms.parent / "labels" / other.name
    whole = tmp_path / "whole.nii.gz"
    values = np.asarray(nib.load(other).dataobj)
    nib.save(nib.Nifti1Image(np.rint(values).astype(np.int16), nib.load(other).affine), whole)
    warped, out = ["--warped", tmp_path / "w.nii.gz"], ["--warped-labels", tmp_path / "l.nii.gz"]
    as_image, as_labels = "looks like a label map, not like an image", "looks like an image, not like a label map"
    for arguments, noted in (
        ([image, other, *warped], []),
        ([image, labels, *warped], [f"{labels} {as_image}"]),
        ([labels, labels, *warped], [f"{labels} {as_image}; {labels} {as_image}"]),
        ([image, other, "--labels", labels, *out], []),
        ([image, other, "--labels", whole, *out], [f"{whole} {as_labels}"]),
    ):
        done = autoreg("register", model, *arguments)
        assert done.exit_code == 0, done.output
        assert [line.removeprefix("note:").strip() for line in done.stderr.splitlines()] == noted
        assert "note" not in done.stdout


def test_apply_notes_on_standard_error(phantoms, model, tmp_path):
    image, other = sorted((phantoms.parent / "images").glob("*.nii.gz"))[:2]
    labels, field = phantoms.parent / "labels" / other.name, tmp_path / "f.nii.gz"
    assert autoreg("register", model, image, other, "--transform", field).exit_code == 0
    done = autoreg("apply", field, labels, "--output", tmp_path / "l.nii.gz")
    assert f"{labels} looks like a label map, not like an image; --labels takes" in done.stderr
    assert autoreg("apply", field, labels, "--labels", "--output", tmp_path / "l.nii.gz").stderr == ""
    done = autoreg("apply", field, other, "--labels", "--output", tmp_path / "l.nii.gz")
    assert f"{other} looks like an image, not like a label map" in done.stderr or done.exit_code == 2


def test_check_warns_of_a_label_map_in_an_images_place(phantoms, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(phantoms.parent, folder)
    assert autoreg("data", "check", folder / "dataset.json").stderr == ""
    image = _first(folder, "images")
    shutil.copy(folder / "labels" / image.name, image)
    done = autoreg("data", "check", folder / "dataset.json")
    assert done.exit_code == 0
    assert done.stderr == f"warning: {image} looks like a label map, not like an image\n"
    assert "warnings:      1" in done.stdout


def test_check_shortens_a_list_of_unknown_labels_and_counts_its_problems(phantoms, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(phantoms.parent, folder)
    path = _first(folder, "labels")
    values = (100 + np.arange(24**3) % 240).reshape(24, 24, 24).astype(np.int16)
    nib.save(nib.Nifti1Image(values, nib.load(path).affine), path)
    done = autoreg("data", "check", folder / "dataset.json")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"{path}: labels: expected numbers named in dataset.json, got 100, 101, 102, 103, 104, ... (240 in all)",
        f"autoreg: {folder}/dataset.json: 1 problem",
    ]
    _first(folder, "images").write_bytes(b"")
    assert autoreg("data", "check", folder / "dataset.json").stderr.endswith(" 2 problems\n")


def test_the_number_of_other_problems_is_told_in_words_that_fit(phantoms, tmp_path):
    from autoreg.data.dataset import load_dataset
    from autoreg.errors import DataError

    folder = tmp_path / "data"
    shutil.copytree(phantoms.parent, folder)
    _edit(folder, lambda values: values["val"].append("nobody"))
    for number, words in ((1, r"\(and 1 more problem\)"), (2, r"\(and 2 more problems\)")):
        _edit(folder, lambda values, number=number: values["val"].append(f"nobody{number}"))
        with pytest.raises(DataError, match=words):
            load_dataset(folder / "dataset.json")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--extension nofile.py data check d.json", "nofile.py: expected a Python file, got none"),
        ("--extension . data check d.json", ".: expected a Python file, got a folder"),
        ("train --search nosearch", "nosearch: expected the folder of a search, got no folder of this name"),
        ("train --search empty", "empty: expected the folder of a search, got a folder without result.json"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = autoreg(*arguments.split())
    assert (done.exit_code, done.output) == (2, f"autoreg: {expected}\n")


def test_a_model_of_another_version_is_named_with_the_cure(tmp_path):
    import torch

    torch.save({"format": 99, "version": "7.0"}, tmp_path / "model.pt")
    done = autoreg("register", tmp_path, "a.nii", "b.nii", "--warped", "w.nii")
    assert done.exit_code == 2
    assert done.output == (
        f"autoreg: {tmp_path}/model.pt: format: expected 1, got 99, written by AutoReg 7.0; train again, or use the "
        "version that wrote it\n"
    )
