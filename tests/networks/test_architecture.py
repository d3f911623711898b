"""Edges of the paper's architecture, and what an architecture refuses."""

from typing import Any

import pytest

from autoreg.errors import SearchSpaceError
from autoreg.networks import Architecture, architecture_from_dict


def widths(architecture: Architecture, level: int) -> list[tuple[int, int]]:
    return [(edge.c_in, edge.c_out) for edge in architecture.deformation_cell(level)]


def test_paper_edges() -> None:
    paper = Architecture()
    assert len(paper.edges()) == 12 and paper.multiple == 4
    assert widths(paper, 2) == [(64, 48), (48, 32), (32, 16)]
    assert widths(paper, 1) == [(51, 48), (48, 32), (32, 16)]
    features = [(e.c_in, e.c_out, e.stride) for level in (1, 2) for e in paper.feature_cell(level)]
    assert features == [(1, 16, 2), (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1)]


@pytest.mark.parametrize(("match", "quarter", "half"), [("cost", 33, 36), ("concat+cost", 65, 52)])
def test_channels_seen_by_deformation_cells(match: Any, quarter: int, half: int) -> None:
    architecture = Architecture(match=match)
    assert (widths(architecture, 2)[0][0], widths(architecture, 1)[0][0]) == (quarter, half)


@pytest.mark.parametrize(("dims", "c_in"), [(2, 4), (3, 8)])
def test_pooled_cells_have_no_stride(dims: int, c_in: int) -> None:
    architecture = Architecture(dims=dims, downsampling="pooled")
    assert architecture.feature_cell(1)[0].c_in == c_in
    assert {edge.stride for edge in architecture.edges()} == {1}


def test_edges_go_by_level_and_have_their_own_names() -> None:
    names = [
        e.name for e in Architecture(feature_channels=(4, 8, 8), feature_edges=1, deformation_channels=(8,)).edges()
    ]
    assert names == [f"{cell}.{level}.0" for level in (1, 2, 3) for cell in ("feature", "deformation")]


def test_levels_may_differ_in_inputs_and_channels() -> None:
    architecture = Architecture(
        feature_channels=(4, 8),
        deformation_channels=((6, 5), (7, 3)),
        inputs=(("cost", "fixed", "decoded", "finer"), ("moving", "finer")),
        downsampling="pooled",
    )
    assert widths(architecture, 1) == [(1 + 4 + 3 + 2, 6), (6, 5)]  # finer is both images at level 1
    assert widths(architecture, 2) == [(8 + 2 * 4, 7), (7, 3)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"feature_chanels": [4]}, "did you mean 'feature_channels'"),
        ({"dims": 4}, "dims: expected 2 or 3, got 4"),
        ({"feature_channels": []}, "feature_channels: expected positive"),
        ({"feature_channels": 4}, "feature_channels: expected a list, got"),
        ({"deformation_channels": [8, 0]}, "deformation_channels: expected positive"),
        ({"feature_edges": 0}, "feature_edges: expected at least 1"),
        ({"passes": [2]}, "passes: expected a list for each of 2 levels"),
        ({"passes": [1, 0]}, "passes: expected positive"),
        ({"passes": 2}, "passes: expected a list, got 2"),
        ({"passes": [1, 2], "composition": "legacy"}, "passes: expected 1 where composition is legacy"),
        ({"integration_steps": -1}, "integration_steps: expected 0 or more"),
        ({"match": "conct"}, "match: expected one of concat, cost, concat\\+cost, concat\\+force, got 'conct'"),
        ({"composition": "add"}, "composition: expected one of compose, sum, legacy, got 'add'"),
        ({"downsampling": "pool"}, "downsampling: expected one of strided, pooled, got 'pool'"),
        ({"cell": "chan"}, "cell: expected one of chain, got 'chan'"),
        ({"deformation_channels": [[8, 4]]}, "deformation_channels: expected a list for each of 2 levels"),
        ({"deformation_channels": [[8, 4], [0]]}, "deformation_channels: expected positive"),
        ({"inputs": [["fixed"]]}, "inputs: expected a list for each of 2 levels"),
        (
            {"inputs": [["fixed"], ["fixed", "decoded"]]},
            r"level 2: expected at least one of moving, .* force, finer, each once, got \['fixed', 'decoded'\]",
        ),
        (
            {"inputs": [["fixd"], ["fixed"]]},
            "level 1: expected at least one of moving, fixed, cost, force, displacement",
        ),
        ({"inputs": [[], ["fixed"]]}, "level 1: expected at least one"),
        ({"deformation_channels": {"": 0}}, "deformation_channels: expected a list, got"),
        (None, "architecture: expected keys and values, got None"),
    ],
)
def test_wrong_values_are_named(values: Any, message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        architecture_from_dict(values)
