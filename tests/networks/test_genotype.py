"""Genotypes: through YAML and back, and errors that name the nearest word."""

from typing import Any

import pytest
import yaml

from autoreg.errors import SearchSpaceError
from autoreg.networks import Architecture, Genotype, build_network

SMALL = Architecture(dims=2, feature_channels=(4,), feature_edges=1, deformation_channels=(4, 4))


def changed(**edges: Any) -> dict[str, Any]:
    values = Genotype.uniform(SMALL, "conv3").to_dict()
    values["edges"] |= {name.replace("_", "."): primitive for name, primitive in edges.items()}
    return values


def test_round_trip_through_yaml() -> None:
    mixed = Genotype(SMALL, {"feature.1.0": "sep3", "deformation.1.0": "dil7", "deformation.1.1": "conv1"})
    text = yaml.safe_dump(mixed.to_dict())
    assert Genotype.from_dict(yaml.safe_load(text)) == mixed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(feature_1_0="conv33"), "genotype.edges.feature.1.0: unknown primitive 'conv33' .did you mean 'conv3'"),
        (changed(feature_1_0=["conv3"]), "unknown primitive"),
        (changed(featre_1_0="conv3"), "'featre.1.0' is not in the architecture .did you mean 'feature.1.0'"),
        ({"architecture": {}}, r"expected keys architecture and edges, got \['architecture'\]"),
        ({**changed(), "edge": {}}, "expected keys architecture and edges"),
        ({**changed(), "edges": {"feature.1.0": "conv3"}}, "missing deformation.1.0, deformation.1.1"),
        ({**changed(), "edges": ["conv3"]}, "genotype.edges: expected edge: primitive"),
        (None, "expected keys architecture and edges, got None"),
    ],
)
def test_wrong_genotypes_are_named(values: Any, message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        Genotype.from_dict(values)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"name": "voxelmorf"}, "did you mean 'voxelmorph'"),
        ({}, "unknown name None"),
        ({"genotype": None}, "genotype:"),
    ],
)
def test_wrong_network_descriptions_are_named(description: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        build_network(description)
