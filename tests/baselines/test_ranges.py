from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from autoreg.baselines.ranges import first_parameters, loss_weights, network, study_ranges
from autoreg.networks import Topology, build_network
from autoreg.registration.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "name": "two",
        "architecture": {"feature_channels": [4, 8], "deformation_channels": [16, 8]},
        "primitives": ["conv1", "conv3"],
        "terms": [
            {"name": "mse", "kind": "mse", "reference": True},
            {"name": "smooth", "kind": "diffusion", "start": 2.0, "low": 0.5, "high": 8.0},
        ],
        "learning_rate": [1e-4, 1e-2],
    }
)


EDGES = [edge.name for edge in SPACE.architecture.edges()]


@pytest.mark.parametrize(
    ("primitives", "names"),
    [("fixed", []), ("one", ["primitive"]), ("each", [f"primitive.{edge}" for edge in EDGES])],
)
def test_ranges_are_those_of_the_space(primitives: str, names: list[str]) -> None:
    expected = {
        "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "lambda.smooth": FloatDistribution(0.5, 8.0, log=True),
    } | {name: CategoricalDistribution(("conv1", "conv3")) for name in names}

    assert study_ranges(SPACE, primitives=primitives) == expected


@pytest.mark.parametrize(("given", "used"), [(1e-3, 1e-3), (1e-6, 1e-4), (0.5, 1e-2)])
def test_first_trial_is_the_default_inside_the_range(given: float, used: float) -> None:
    first = first_parameters(SPACE, learning_rate=given, primitives="one")

    assert first == {"learning_rate": used, "lambda.smooth": 2.0, "primitive": "conv3"}


def test_reference_term_has_weight_one() -> None:
    assert loss_weights({"lambda.smooth": 3.5}, SPACE) == {"mse": 1.0, "smooth": 3.5}


def test_a_chosen_primitive_is_on_every_edge() -> None:
    described = network({"primitive": "conv1"}, SPACE, "all-conv3")

    assert set(described["genotype"]["edges"].values()) == {"conv1"}
    assert build_network(described)


def test_each_edge_may_choose_its_own() -> None:
    chosen = {f"primitive.{edge}": ("conv1", "conv3")[i % 2] for i, edge in enumerate(EDGES)}
    described = network(chosen, SPACE, "all-conv3")
    assert [f"conv{1 + 2 * (i % 2)}" for i in range(len(EDGES))] == [described["genotype"]["edges"][e] for e in EDGES]


def test_structure_is_chosen_where_the_space_searches_it() -> None:
    free = replace(SPACE, topology=Topology(("decoded",), 1, (0.5, 1.0)))
    ranges = study_ranges(free, primitives="each")
    assert ranges["structure.levels"] == CategoricalDistribution(("1", "2"))
    assert ranges["structure.connection.1.decoded"] == CategoricalDistribution(("skip", "use"))
    first = first_parameters(free, learning_rate=1e-3, primitives="each")
    assert (
        network(first, free, "")["genotype"]["architecture"]
        == network({"primitive": "conv3"}, free, "")["genotype"]["architecture"]
    )
    smaller = first | {"structure.levels": "1", "structure.width.feature.1": "50"}
    assert network(smaller, free, "")["genotype"]["architecture"]["feature_channels"] == [2]
    assert set(study_ranges(free, primitives="fixed")) == {"learning_rate", "lambda.smooth"}


def test_without_primitives_the_named_network_is_trained() -> None:
    described = network({}, SPACE, "voxelmorph")

    assert described["name"] == "voxelmorph"
    assert build_network(described)
