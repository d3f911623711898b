"""model.pt: there and back, and files that are not one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from autoreg.errors import InputError
from autoreg.networks import NETWORKS, Architecture, Genotype, build_network
from autoreg.registration.model import load_model, save_model

SMALL = Architecture(dims=2, feature_channels=(2,), feature_edges=1, deformation_channels=(4,))
GENOTYPE = {"genotype": Genotype.uniform(SMALL, "sep3").to_dict()}
BY_NAME = {"name": "all-conv3", "architecture": {"dims": 2, "feature_channels": [2], "deformation_channels": [4]}}


def saved(folder: Path, description: dict[str, Any], weights: dict[str, torch.Tensor]) -> Path:
    save_model(
        folder / "model.pt",
        description=description,
        weights=weights,
        data={"foreground": "nonzero", "percentiles": [1.0, 99.0]},
        labels={1: "cortex"},
        loss_weights={"lncc": 1.0},
        common_affine=False,
        terms=[{"name": "lncc", "kind": "lncc", "window": 7}],
    )
    return folder / "model.pt"


@pytest.mark.parametrize("description", [GENOTYPE, BY_NAME], ids=["genotype", "name"])
@pytest.mark.parametrize("by", ["file", "folder"])
def test_round_trip(tmp_path: Path, description: dict[str, Any], by: str) -> None:
    network = build_network(description).eval()
    file = saved(tmp_path, description, network.state_dict())
    model = load_model(file if by == "file" else tmp_path)
    pair = torch.rand(2, 1, 1, 8, 8)
    assert torch.equal(model.network(*pair).displacement, network(*pair).displacement)
    assert not model.network.training and model.multiple == 2
    assert (model.description, model.labels, model.loss_weights) == (description, {1: "cortex"}, {"lncc": 1.0})
    assert model.data == {"foreground": "nonzero", "percentiles": [1.0, 99.0]} and not model.common_affine
    assert model.terms == [{"name": "lncc", "kind": "lncc", "window": 7}]
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_by_name_comes_back(tmp_path: Path, name: str) -> None:
    description = {"name": name, "architecture": {"dims": 2}}
    network = build_network(description).eval()
    model = load_model(saved(tmp_path, description, network.state_dict()))
    pair = torch.rand(2, 1, 1, 32, 16)
    assert torch.equal(model.network(*pair).displacement, network(*pair).displacement)
    assert model.multiple == network.multiple


def test_a_file_without_terms_is_read(tmp_path: Path) -> None:
    """Files written before terms were kept."""
    file = saved(tmp_path, GENOTYPE, build_network(GENOTYPE).state_dict())
    content = torch.load(file, weights_only=True)
    del content["terms"]
    write(file, content)
    assert load_model(file).terms == ()


def write(file: Path, content: Any) -> None:
    torch.save(content, file)


class Malicious:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    write(tmp_path / "model.pt", {"format": 1, "network": Malicious(tmp_path / "trace")})
    with pytest.raises(InputError, match="not a readable model file"):
        load_model(tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("kept", [0, 10, 1000, -100])
def test_torn_files(tmp_path: Path, kept: int) -> None:
    file = saved(tmp_path, GENOTYPE, build_network(GENOTYPE).state_dict())
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"model\.pt: not a readable model file"):
        load_model(file)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.pt: no such model"):
        load_model(tmp_path)
    for content in ({}, torch.zeros(2), {"format": 1, "round": 3}):  # the last one is much like a checkpoint
        write(tmp_path / "model.pt", content)
        with pytest.raises(
            InputError, match=r"model\.pt: no model of AutoReg; expected a model\.pt written by autoreg"
        ):
            load_model(tmp_path)
    cure = "train again, or use the version that wrote it"
    for content, got in (
        ({"format": 99, "version": "7.1.0"}, "99, written by AutoReg 7.1.0"),
        ({"format": 99}, "99, written by another version of AutoReg"),
        ({"network": GENOTYPE}, "None, written by another version of AutoReg"),
    ):
        write(tmp_path / "model.pt", content)
        with pytest.raises(InputError, match=rf"model\.pt: format: expected 1, got {got}; {cure}"):
            load_model(tmp_path)
    write(tmp_path / "model.pt", {"format": 1, "network": GENOTYPE})
    with pytest.raises(InputError, match=r"model\.pt: missing weights, data"):
        load_model(tmp_path)


def test_weights_must_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.pt: weights do not fit"):
        load_model(saved(tmp_path, GENOTYPE, build_network(BY_NAME).state_dict()))


def test_an_unknown_network_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.pt: network: unknown name 'voxelmorf'"):
        load_model(saved(tmp_path, {"name": "voxelmorf"}, {}))
