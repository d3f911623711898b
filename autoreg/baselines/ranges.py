"""What a trial may choose, taken from the search space: the same terms and ranges that the search has."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from autoreg.networks import Genotype, usual_primitive
from autoreg.registration.space import SearchSpace

LEARNING_RATE = "learning_rate"
PRIMITIVE = "primitive"
LAMBDA = "lambda."

Parameters = dict[str, float | str]


def study_ranges(space: SearchSpace, *, primitives: str) -> dict[str, BaseDistribution]:
    """Parameter name -> range: learning rate and loss weights log-uniform, primitives as asked for (`TuneConfig`).

    The reference term has weight 1 and is not tuned.
    """
    ranges: dict[str, BaseDistribution] = {LEARNING_RATE: FloatDistribution(*space.learning_rate, log=True)}
    for term in space.terms:
        if not term.reference:
            ranges[LAMBDA + term.name] = FloatDistribution(term.low, term.high, log=True)
    return ranges | {name: CategoricalDistribution(space.primitives) for name in _choices(space, primitives)}


def first_parameters(space: SearchSpace, *, learning_rate: float, primitives: str) -> Parameters:
    """What a person tries first: the space's starts and the configuration's learning rate, inside its range."""
    low, high = space.learning_rate
    first: Parameters = {LEARNING_RATE: min(max(learning_rate, low), high)}
    first |= {LAMBDA + term.name: term.start for term in space.terms if not term.reference}
    return first | {name: usual_primitive(space.primitives) for name in _choices(space, primitives)}


def loss_weights(parameters: Mapping[str, Any], space: SearchSpace) -> dict[str, float]:
    """Term name -> weight, in the space's order."""
    return {term.name: 1.0 if term.reference else float(parameters[LAMBDA + term.name]) for term in space.terms}


def network(parameters: Mapping[str, Any], space: SearchSpace, name: str) -> dict[str, Any]:
    """The network that a trial trains: of the primitives it chose, or the network called `name`."""
    edges = [edge.name for edge in space.architecture.edges()]
    chosen = {edge: parameters.get(f"{PRIMITIVE}.{edge}", parameters.get(PRIMITIVE)) for edge in edges}
    if None not in chosen.values():
        return {"genotype": Genotype(space.architecture, {k: str(v) for k, v in chosen.items()}).to_dict()}
    return space.named_network(name)


def _choices(space: SearchSpace, primitives: str) -> list[str]:
    """Parameters that name a primitive: none, one for all edges, or one an edge."""
    each = [f"{PRIMITIVE}.{edge.name}" for edge in space.architecture.edges()]
    return {"fixed": [], "one": [PRIMITIVE], "each": each}[primitives]
