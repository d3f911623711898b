"""A trained network as a graph of its own."""

import json
import subprocess
import sys

import pytest
import torch

from autoreg.errors import AutoRegError, InputError
from autoreg.networks import Architecture, Genotype, build_network
from autoreg.registration.model import save_model
from autoreg.serving import export
from autoreg.serving.export import export_model

FLAT = Architecture(dims=2, feature_channels=(2, 4), feature_edges=1, deformation_channels=(4,), match="concat+cost")
NETWORK = {"genotype": Genotype.uniform(FLAT, "sep3").to_dict()}

ALONE = """
import sys, torch
network = torch.export.load(sys.argv[1]).module()
pair = torch.load(sys.argv[2])
torch.save(network(*pair), sys.argv[3])
assert not any(name.startswith("autoreg") for name in sys.modules)
"""


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    torch.manual_seed(0)
    weights = build_network(NETWORK).state_dict()
    for level in (0, 1):
        weights[f"deformations.{level}.head.weight"] *= 1e5  # trainings start from almost no motion
    save_model(folder / "model.pt", description=NETWORK, weights=weights, data={"foreground": "positive"},
               labels={1: "cortex"}, loss_weights={"lncc": 1.0}, common_affine=True)  # fmt: skip
    result = {"name": "train", "dataset": "brains", "dataset_hash": "abc", "metrics": {"val_dice": 0.7, "sdlogj": None}}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_the_graph_gives_what_the_network_gives_without_our_code(model, tmp_path):
    out = tmp_path / "bundle"
    told = export_model(model, out, shape=(16, 24))
    assert float(told["largest difference"].split()[0]) <= 1e-4
    network = build_network(NETWORK).eval()
    network.load_state_dict(torch.load(model / "model.pt", weights_only=True)["weights"])
    pair = torch.rand(2, 1, 1, 16, 24).unbind(0)
    torch.save(list(pair), tmp_path / "pair.pt")
    files = [str(out / "models" / "model.pt2"), str(tmp_path / "pair.pt"), str(tmp_path / "found.pt")]
    subprocess.run([sys.executable, "-c", ALONE, *files], check=True, cwd=tmp_path, timeout=200)
    expected = network(*pair).displacement
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(torch.load(tmp_path / "found.pt"), expected, atol=1e-4, rtol=0)


def test_the_bundle_says_what_it_is(model, tmp_path):
    out = tmp_path / "bundle"
    export_model(model, out, shape=(16, 16))
    metadata = json.loads((out / "configs" / "metadata.json").read_text())
    formats = metadata["network_data_format"]
    assert formats["inputs"]["fixed"]["spatial_shape"] == [16, 16]
    assert formats["outputs"]["pred"]["num_channels"] == 2
    assert metadata["data_source"] == {"name": "brains", "sha256": "abc"}
    assert metadata["export"]["largest_difference_voxels"] <= 1e-3
    card = (out / "docs" / "README.md").read_text()
    assert "| val_dice | 0.7 |" in card
    assert "(1, 2, 16, 16)" in card
    assert "not a medical device" in card


@pytest.mark.parametrize(("shape", "words"), [((16,), "expected 2 multiples of 4"), ((16, 18), "got 16,18")])
def test_a_shape_that_does_not_suit_is_named(model, tmp_path, shape, words):
    with pytest.raises(InputError, match=words):
        export_model(model, tmp_path / "bundle", shape=shape)
    assert not (tmp_path / "bundle").exists()


def test_a_folder_with_files_is_left_alone(model):
    with pytest.raises(InputError, match="expected a new folder"):
        export_model(model, model, shape=(16, 16))


def test_an_export_that_differs_is_not_kept(model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(AutoRegError, match="differs from the network"):
        export_model(model, tmp_path / "bundle", shape=(16, 16))
    assert not (tmp_path / "bundle").exists()
