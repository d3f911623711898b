"""Landmarks that a data set names: read, matched, checked, and scored against a known field."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from autoreg.data.check import check_dataset
from autoreg.data.dataset import load_dataset
from autoreg.data.description import Description
from autoreg.data.fetched import _wanted
from autoreg.data.landmarks import Landmarks, PairLandmarks, matched, pair_landmarks, read_landmarks
from autoreg.data.volume import Volume
from autoreg.errors import DataError
from autoreg.evaluation.pairs import score_pairs, summary
from autoreg.storage import Store

IDS = ["s0", "s1", "s2", "s3"]


def table(path: Path, rows: str, header: str = "x,y,z") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{header}\n{rows}\n")
    return path


def with_points(write_dataset, folder: Path, **tables: str) -> Path:
    for key, rows in tables.items():
        table(folder / "points" / f"{key}.csv", rows)
    return write_dataset(IDS, train=IDS[:2], test=IDS[2:], points={key: f"points/{key}.csv" for key in tables})


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ("1,2", "i,j", "expected rows with the columns x, y, z"),
        ("", "x,y,z", "got no row"),
        ("1,2,three", "x,y,z", "expected numbers"),
        ("1,2", "x,y,z", "expected numbers"),
        ("1,2,nan", "x,y,z", "expected finite numbers"),
        ("1,2,3,a\n4,5,6,a", "x,y,z,name", "name: expected each name once, got a twice"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, rows, header, words):
    path = table(tmp_path / "p.csv", rows, header)
    with pytest.raises(DataError, match=words) as caught:
        read_landmarks(path)
    assert str(caught.value).startswith(f"{path}: points: ")


def test_names_match_whatever_the_order():
    fixed = Landmarks(np.arange(9.0).reshape(3, 3), ("a", "b", "c"))
    moving = Landmarks(np.arange(6.0).reshape(2, 3) + 100, ("c", "a"))
    one, other = matched(fixed, moving)
    assert one.tolist() == [[0, 1, 2], [6, 7, 8]] and other.tolist() == [[103, 104, 105], [100, 101, 102]]
    with pytest.raises(ValueError, match="names that both have"):
        matched(fixed, Landmarks(np.zeros((3, 3)), None))


def test_check_reports_tables(write_dataset, tmp_path):
    assert check_dataset(with_points(write_dataset, tmp_path, s2="1,1,1", s3="1,1,2")) == []
    path = with_points(write_dataset, tmp_path, s2="1,1,1", s3="1,1,2\n1,1,1")
    (problem,) = check_dataset(path)
    assert "s3" in problem and "expected 1 rows as without names row matches row, got 2" in problem
    table(tmp_path / "points" / "s3.csv", "1,1,?")
    (problem,) = check_dataset(path)
    assert problem.startswith(f"{tmp_path}/points/s3.csv: points: x, y, z: expected numbers")
    values = json.loads(path.read_text())
    values["points"] = {"s2": "points/none.csv", "s3": "../outside.csv", "nobody": "points/s2.csv", "s0": 3}
    path.write_text(json.dumps(values))
    fields = [problem.split(": ")[1] for problem in check_dataset(path)]
    assert fields == ["points.s0", "points.s2", "points.s3", "points"]


def test_landmarks_are_part_of_the_data_and_sets_without_keep_their_hash(write_dataset, tmp_path):
    path = with_points(write_dataset, tmp_path, s2="1,1,1", s3="1,1,2")
    before = load_dataset(path).fingerprint
    table(tmp_path / "points" / "s3.csv", "1,1,1")
    assert load_dataset(path).fingerprint != before
    assert load_dataset(write_dataset(IDS, test=IDS)).points == {}
    assert pair_landmarks(load_dataset(path), [("s0", "s1")]) is None


def test_landmarks_of_a_set_in_a_store_are_fetched(write_dataset, tmp_path):
    path = with_points(write_dataset, tmp_path, s2="1,1,1", s3="1,1,2")
    wanted = _wanted(Description(path), Store(tmp_path.as_uri()))
    assert {"points/s2.csv", "points/s3.csv", "images/s2.nii.gz"} <= wanted.keys()


def scene() -> tuple[dict[str, Volume], torch.Tensor, PairLandmarks]:
    """A bent field on an oblique grid of 0.8, 1.5 and 2 mm, and landmarks that it leads to each other."""
    turn, shape = np.deg2rad(25), (12, 14, 10)
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    affine[:3, :3] = affine[:3, :3] @ np.diag([-0.8, 1.5, 2.0])
    affine[:3, 3] = [30, -10, 5]
    other = affine.copy()
    other[:3, 3] += 40  # positions count on either image's own grid
    blank = np.zeros(shape, dtype=np.float32)
    volumes = {k: Volume(k, blank, blank.astype(np.uint8), None, a) for k, a in (("f", affine), ("m", other))}
    x = torch.stack(torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape], indexing="ij"))[None]
    u = torch.stack([0.1 * x[:, 1], -0.05 * x[:, 0] + 0.5, 1 - 0.1 * x[:, 2]], dim=1)
    fixed = np.random.default_rng(0).uniform(3, 7, (20, 3))
    moving = fixed + np.stack([0.1 * fixed[:, 1], -0.05 * fixed[:, 0] + 0.5, 1 - 0.1 * fixed[:, 2]], axis=1)
    world = [p @ a[:3, :3].T + a[:3, 3] for p, a in ((fixed, affine), (moving, other))]
    return volumes, u, PairLandmarks({("f", "m"): (world[0], world[1])})


def test_a_known_field_has_no_error_and_the_wrong_direction_twice_its_length():
    volumes, u, points = scene()
    figures = {}
    for name, field in (("right", u), ("none", 0 * u), ("wrong", -u)):
        frame = score_pairs(lambda pair, field=field: field, volumes, [("f", "m")], label_numbers=[], points=points)
        figures[name] = summary(frame)
    length = figures["none"]["tre_mm"]
    assert figures["right"]["tre_mm"] < 1e-4 < 0.5 < length
    assert figures["wrong"]["tre_mm"] == pytest.approx(2 * length, rel=1e-4)
    assert {round(f["initial_tre_mm"], 6) for f in figures.values()} == {round(length, 6)}


def test_evaluate_reports_the_error_of_a_data_set_with_landmarks(flat_phantoms, tmp_path):
    import shutil

    from click.testing import CliRunner

    from autoreg.cli import main
    from autoreg.networks import build_network
    from autoreg.registration.model import save_model

    folder = tmp_path / "data"
    shutil.copytree(flat_phantoms.parent, folder)
    architecture = {"feature_channels": [4, 4], "feature_edges": 1, "deformation_channels": [4], "dims": 2}
    description = {"name": "all-conv3", "architecture": architecture}
    weights = {k: v * (0 if "head" in k else 1) for k, v in build_network(description).state_dict().items()}
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model" / "model.pt", description=description, weights=weights, data={}, labels={},
               loss_weights={}, common_affine=True)  # fmt: skip
    fixed, moving = load_dataset(folder / "dataset.json").pairs("test")[0]
    for key, rows in ((fixed, "1,2,0\n5,6,0"), (moving, "1,5,0\n5,10,0")):
        table(folder / "points" / f"{key}.csv", rows)
    values = json.loads((folder / "dataset.json").read_text())
    values["points"] = {key: f"points/{key}.csv" for key in (fixed, moving)}
    (folder / "dataset.json").write_text(json.dumps(values))
    arguments = ["evaluate", tmp_path / "model", "--dataset", folder / "dataset.json", "--quiet"]
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    assert "tre_mm:        3.5\n" in done.output and "initial_tre_mm: 3.5\n" in done.output
