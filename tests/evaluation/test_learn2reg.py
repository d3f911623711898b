"""Saved fields through a reader that follows Learn2Reg's evaluation program, in our own words.

That program takes the pairs of its dataset.json, finds `disp_FFFF_0000_MMMM_0000.nii.gz` by the numbers in the two
file names, expects an array (D, H, W, 3) of voxels on the fixed grid, adds it to the identity and looks the moving
labels up there with scipy's map_coordinates, order 0. The affine is not read.
"""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from autoreg import experiment
from autoreg.config import load_space
from autoreg.errors import InputError
from autoreg.networks import build_network
from autoreg.registration.model import save_model


def numbers(name: str) -> str:
    """FFFF_0000 of ./imagesTr/NAME_FFFF_0000.nii.gz."""
    return "_".join(Path(name).name.removesuffix(".nii.gz").split("_")[-2:])


def mean_dice(fixed: np.ndarray, warped: np.ndarray, labels: range) -> float:
    found = [
        2 * ((fixed == n) & (warped == n)).sum() / ((fixed == n).sum() + (warped == n).sum())
        for n in labels
        if (fixed == n).any() or (warped == n).any()
    ]
    return float(np.mean(found))


def scored(fields: Path, labels: Path, foreground: range) -> dict[tuple[str, str], float]:
    """Mean Dice of every pair, from the written files and the label maps alone."""
    description = json.loads((fields / "dataset.json").read_text())
    shape = tuple(description["tensorImageShape"]["0"])
    keys = {row["number"]: row["id"] for row in csv.DictReader((fields / "ids.csv").read_text().splitlines())}
    scores = {}
    for pair in description["registration_val"]:
        fixed, moving = (numbers(pair[side]) for side in ("fixed", "moving"))
        field = np.asarray(nib.load(fields / f"disp_{fixed}_{moving}.nii.gz").dataobj)
        assert field.shape == (*shape, 3)
        maps = [np.asarray(nib.load(labels / f"{keys[n]}.nii.gz").dataobj) for n in (fixed, moving)]
        identity = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
        warped = ndimage.map_coordinates(maps[1], identity + np.moveaxis(field, -1, 0), order=0)
        scores[keys[fixed], keys[moving]] = mean_dice(maps[0], warped, foreground)
    return scores


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An untrained network whose fields move by voxels, with what refinement needs."""
    space = load_space("tiny", dims=3)
    description = {"name": "all-conv3", "architecture": asdict(space.architecture)}
    description = json.loads(json.dumps(description))
    torch.manual_seed(0)
    weights = build_network(description).state_dict()
    heads = [name for name in weights if name.endswith("head.weight")]
    weights |= {name: 0.3 * torch.randn_like(weights[name]) for name in heads}
    folder = tmp_path / "model"
    folder.mkdir()
    rest = {"data": {"foreground": "positive", "percentiles": [0.5, 99.5]}, "labels": {}, "common_affine": True}
    terms = {"loss_weights": {t.name: t.start for t in space.terms}, "terms": [asdict(t) for t in space.terms]}
    save_model(folder / "model.pt", description=description, weights=weights, **rest, **terms)
    return folder


@pytest.mark.parametrize("refine", [0, 2])
def test_an_outside_reader_agrees_on_dice(phantoms: Path, model: Path, refine: int) -> None:
    output = experiment.evaluate(model, dataset=phantoms, fields=True, refine=refine)
    assert output == (model / f"refined-{refine}" if refine else model) / "test"
    frame = pd.read_parquet(output / "pairs.parquet")
    ours = frame.groupby(["fixed", "moving"])["dice"].mean()
    theirs = scored(output / "fields", phantoms.parent / "labels", range(1, 11))
    assert set(theirs) == set(ours.index)
    for pair, value in theirs.items():
        assert ours[pair] == pytest.approx(value, abs=1e-3)
    assert (ours - frame.groupby(["fixed", "moving"])["initial_dice"].mean()).abs().max() > 0.01  # the fields move


def test_refining_an_older_model_is_refused_before_anything_is_written(phantoms: Path, model: Path) -> None:
    content = torch.load(model / "model.pt", weights_only=True)
    torch.save({key: value for key, value in content.items() if key != "terms"}, model / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: terms: .* older file"):
        experiment.evaluate(model, dataset=phantoms, refine=2)
    assert [path.name for path in model.iterdir()] == ["model.pt"]
