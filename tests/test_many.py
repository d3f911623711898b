"""Registration of files by command: one pair, many pairs, slices, and what is refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from autoreg.cli import main
from autoreg.data.dataset import load_dataset
from autoreg.data.synthetic import make_phantoms
from autoreg.networks import build_network
from autoreg.registration.model import save_model


def autoreg(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def untrained(folder: Path, dims: int) -> Path:
    architecture = {"feature_channels": [4, 4], "feature_edges": 1, "deformation_channels": [4], "dims": dims}
    description = {"name": "all-conv3", "architecture": architecture}
    weights = build_network(description).state_dict()
    folder.mkdir()
    data = {"foreground": "positive", "percentiles": [0.5, 99.5]}
    named = {"labels": {}, "loss_weights": {}, "common_affine": True}
    save_model(folder / "model.pt", description=description, weights=weights, data=data, **named)
    return folder


@pytest.fixture(scope="module", params=[2, 3])
def scans(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path], list[Path]]:
    """A model, and the images and label maps of phantoms."""
    folder = tmp_path_factory.mktemp("files")
    dataset = load_dataset(make_phantoms(folder / "data", subjects=6, shape=(20,) * request.param, seed=0))
    entries = list(dataset.entries.values())
    images, labels = (
        [entry.image_path for entry in entries],
        [entry.label_path for entry in entries if entry.label_path],
    )
    return untrained(folder / "model", request.param), images, labels


def test_one_pair_with_everything(scans: tuple[Path, list[Path], list[Path]], tmp_path: Path) -> None:
    model, images, labels = scans
    names = ("warped.nii.gz", "field.nii.gz", "inverse.h5", "labels.nii.gz")
    options = ("--warped", "--transform", "--inverse", "--warped-labels")
    written = [part for option, name in zip(options, names, strict=True) for part in (option, tmp_path / name)]
    done = autoreg("register", model, *images[:2], *written, "--labels", labels[1])
    assert done.exit_code == 0, done.output
    assert all((tmp_path / name).exists() and str(tmp_path / name) in done.output for name in names)
    assert "inverse error:" in done.output and "folds percent:" in done.output
    again = tmp_path / "again.nii.gz"
    done = autoreg("apply", tmp_path / "field.nii.gz", images[1], "--reference", images[0], "--output", again)
    assert done.exit_code == 0, done.output
    first, second = nib.load(tmp_path / "warped.nii.gz"), nib.load(again)
    np.testing.assert_allclose(second.get_fdata(), first.get_fdata(), atol=0.1)  # of intensities up to 200


def test_many_pairs(scans: tuple[Path, list[Path], list[Path]], tmp_path: Path) -> None:
    model, images, labels = scans
    rows = [{"fixed": images[0], "moving": images[i], "labels": labels[i]} for i in (1, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / "pairs.csv", index=False)
    done = autoreg(
        "register", model, "--pairs", tmp_path / "pairs.csv", "--output", tmp_path / "out", "--transform", "field.h5"
    )
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "registered.csv")
    names = [f"{images[i].name[:-7]}_to_{images[0].name[:-7]}" for i in (1, 2)]
    assert list(table["name"]) == names and table["error"].isna().all()
    for name in names:
        assert sorted(path.name for path in (tmp_path / "out" / name).iterdir()) == [
            "field.h5",
            "labels.nii.gz",
            "warped.nii.gz",
        ]


def test_one_bad_pair_does_not_stop_the_others(scans: tuple[Path, list[Path], list[Path]], tmp_path: Path) -> None:
    model, images, _ = scans
    (tmp_path / "pairs.csv").write_text(f"fixed,moving\n{images[0]},gone.nii.gz\n{images[0]},{images[1]}\n")
    done = autoreg("register", model, "--pairs", tmp_path / "pairs.csv", "--output", tmp_path / "out")
    assert done.exit_code == 2 and "1 of 2 pairs failed" in done.output and "gone.nii.gz: file:" in done.output
    table = pd.read_csv(tmp_path / "out" / "registered.csv")
    assert table["error"].notna().tolist() == [True, False]
    assert (tmp_path / "out" / table["name"][1] / "warped.nii.gz").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fixed\na.nii\n", "columns: expected fixed, moving"),
        ("fixed,moving\n", "and no row"),
        ("fixed,moving,target\na,b,c\n", "got fixed, moving, target"),
        ("fixed,moving\na.nii,\n", "expected two files in every row, got none in row 1"),
        ("fixed,moving\na.nii,b.nii\nx/a.nii,y/b.nii\n", "got b_to_a twice"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    done = autoreg("register", "m", "--pairs", tmp_path / "pairs.csv", "--output", tmp_path / "out")
    assert done.exit_code == 2 and message in done.output and "pairs.csv: " in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("f.nii", "m.nii"), "expected something to write"),
        (("f.nii",), "expected FIXED and MOVING"),
        (("f.nii", "m.nii", "--warped", "w.nii", "--output", "o"), "no --output"),
        (("--pairs", "p.csv"), "expected --output"),
        (("f.nii", "m.nii", "--labels", "l.nii"), "belong together"),
        (("f.nii", "m.nii", "--transform", "t.mat"), "t.mat: name of a transform"),
        (("f.nii", "m.nii", "--inverse", "t.txt"), "t.txt: name of a transform"),
    ],
)
def test_arguments_that_do_not_fit(arguments: tuple[str, ...], message: str) -> None:
    done = autoreg("register", "model", *arguments)
    assert done.exit_code == 2 and message in done.output
