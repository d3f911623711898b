"""Commands that write results where there is no room: one line, code 1, what was there untouched, and no leftover."""

import errno
import io
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from autoreg.cli import main
from autoreg.config import shipped
from autoreg.data.dataset import load_dataset
from autoreg.files import result_file, whole_file
from autoreg.networks import build_network
from autoreg.registration.model import save_model

ROOM = 2000  # bytes a file


def autoreg(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="autoreg")


class _Cut(io.FileIO):
    """A file on a disk that has room for so many bytes."""

    def write(self, data: Any) -> int:
        room = ROOM - self.tell()
        if memoryview(data).nbytes <= room:
            return super().write(data)
        super().write(memoryview(data).cast("B")[: max(room, 0)])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.name))


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a full disk."""
    folder, opened = tmp_path / "full", Path.open

    def cut(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if folder in self.parents and mode == "wb":
            return _Cut(self, "w")
        return opened(self, mode, *args, **options)

    folder.mkdir()
    monkeypatch.setattr(Path, "open", cut)
    return folder


@pytest.fixture(scope="module")
def desk(flat_phantoms: Path, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Models of slices and volumes, two scans and a label map of each, a transform, points."""
    folder = tmp_path_factory.mktemp("desk")
    found: dict[str, Any] = {"flat_set": flat_phantoms}
    for name, dims, path in (("flat", 2, flat_phantoms), ("solid", 3, phantoms)):
        architecture = {"feature_channels": [4, 4], "feature_edges": 1, "deformation_channels": [4], "dims": dims}
        description = {"name": "all-conv3", "architecture": architecture}
        (folder / name).mkdir()
        save_model(
            folder / name / "model.pt",
            description=description,
            weights=build_network(description).state_dict(),
            data={"foreground": "positive", "percentiles": [0.5, 99.5]},
            labels={1: "one"},
            loss_weights={},
            common_affine=True,
        )
        entries = list(load_dataset(path).entries.values())
        found[name] = folder / name
        found[f"{name}_pair"] = [entry.image_path for entry in entries[:2]]
        found[f"{name}_labels"] = entries[1].label_path
    found["field"], found["points"] = folder / "field.nii.gz", folder / "points.csv"
    done = autoreg("register", found["solid"], *found["solid_pair"], "--transform", found["field"])
    assert done.exit_code == 0, done.output
    found["points"].write_text("x,y,z\n" + "".join(f"{i},{i / 3},{i / 7}\n" for i in range(300)))
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        "register {pair} --warped {full}/w.nii.gz",
        "register {pair} --warped {full}/w.nii",
        "register {pair} --labels {labels} --warped-labels {full}/l.nii",
        *[
            f"register {{pair}} --{what} {{full}}/t{end}"
            for what in ("transform", "inverse")
            for end in (".nii", ".nii.gz", ".h5", ".fsl.nii.gz", ".npz")
        ],
        "apply {field} {moving} --output {full}/a.nii.gz",
        "apply {field} {points} --output {full}/p.csv",
        "export {model} {full}/bundle --shape 24,24,24",
    ],
)
def test_one_line_and_nothing_half_written(desk: dict[str, Any], full: Path, arguments: str, capfd: Any) -> None:
    pair, labels = desk["solid_pair"], desk["solid_labels"]
    text = arguments.format(
        pair=f"{desk['solid']} {pair[0]} {pair[1]}",
        model=desk["solid"],
        moving=pair[1],
        labels=labels,
        field=desk["field"],
        points=desk["points"],
        full=full,
    )
    named = next(Path(word) for word in text.split() if word.startswith(f"{full}/"))
    if not text.startswith("export"):
        named.write_bytes(b"earlier")
    done = autoreg(*text.split())
    file = named / "models" / "model.pt2" if text.startswith("export") else named
    assert done.exit_code == 1
    assert done.output == f"autoreg: {file}: cannot be written: No space left on device\n"
    assert capfd.readouterr().err == ""  # past Python too
    left = {path.relative_to(full): path.read_bytes() for path in full.rglob("*") if path.is_file()}
    assert left == ({} if text.startswith("export") else {Path(named.name): b"earlier"})


def test_an_evaluation_names_its_file(desk: dict[str, Any], full: Path) -> None:
    done = autoreg("evaluate", desk["flat"], "--dataset", desk["flat_set"], "--output", full / "ev", "--quiet")
    assert done.exit_code == 1
    assert done.output == f"autoreg: {full}/ev/pairs.parquet: cannot be written: No space left on device\n"
    assert not list((full / "ev").iterdir())


def test_where_a_command_can_go_on_it_says_so(desk: dict[str, Any], full: Path) -> None:
    arguments = ["--network", "all-conv3", "--dataset", desk["flat_set"], "--output", full / "run", "--quiet"]
    done = autoreg("train", shipped("launchers") / "configs" / "smoke.yaml", *arguments, "--set", "workers.local=true")
    assert done.exit_code == 1
    last = done.output.strip().splitlines()[-1]
    assert last.endswith(": cannot be written: No space left on device; make room, then go on with --resume")


def test_the_process_ends_well(desk: dict[str, Any], tmp_path: Path) -> None:
    """Where no file grows beyond 50 kB: HDF5 must not be left with a file that it cannot close at the end."""
    command = ["register", desk["solid"], *desk["solid_pair"], "--transform", tmp_path / "t.h5"]
    done = subprocess.run(
        [sys.executable, "-m", "autoreg", *map(str, command)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, f"autoreg: {tmp_path}/t.h5: cannot be written: File too large\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--warped", "--labels"])
def test_known_endings_are_told_before_the_work(desk: dict[str, Any], tmp_path: Path, option: str) -> None:
    more = ["--labels", desk["flat_labels"], "--warped-labels"] if option == "--labels" else [option]
    done = autoreg("register", "nomodel", *desk["flat_pair"], *more, tmp_path / "w.png")
    expected = f"autoreg: {tmp_path}/w.png: name of an image: expected one that ends in .nii.gz or .nii\n"
    assert (done.exit_code, done.output) == (2, expected)


def test_missing_folders_are_made(desk: dict[str, Any], tmp_path: Path) -> None:
    written = [tmp_path / "new" / name for name in ("w.nii.gz", "deeper/t.h5")]
    done = autoreg("register", desk["flat"], *desk["flat_pair"], "--warped", written[0], "--transform", written[1])
    assert done.exit_code == 0, done.output
    assert all(path.is_file() for path in written)
    done = autoreg("register", desk["flat"], *desk["flat_pair"], "--warped", written[0] / "w.nii.gz")
    assert (done.exit_code, done.output) == (2, f"autoreg: {written[0]}: expected a folder, got a file\n")


def test_compressed_files_are_the_same_each_time_and_others_read_them(desk: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a", "b"):
        autoreg("register", desk["solid"], *desk["solid_pair"], "--warped", tmp_path / f"{name}.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    autoreg("register", desk["solid"], *desk["solid_pair"], "--warped", tmp_path / "a.nii")
    packed, plain = (np.asarray(nib.load(tmp_path / f"a{end}").dataobj) for end in (".nii.gz", ".nii"))
    np.testing.assert_array_equal(packed, plain)


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "target").write_bytes(b"old")
    with result_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with result_file(tmp_path / "pipe") as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def interrupted() -> None:
        with whole_file(tmp_path / "a") as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_model_is_written_as_a_whole(desk: dict[str, Any], full: Path) -> None:
    from autoreg.errors import StorageError

    with pytest.raises(StorageError, match=r"model\.pt: cannot be written: No space left on device$"):
        save_model(full / "model.pt", description={}, weights={"w": torch.zeros(9999)}, data={}, labels={},
                   loss_weights={}, common_affine=True)  # fmt: skip
    assert not list(full.iterdir())
