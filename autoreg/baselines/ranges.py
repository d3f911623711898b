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


def study_ranges(space: SearchSpace, *, primitives: bool) -> dict[str, BaseDistribution]:
    """Parameter name -> range: learning rate and loss weights log-uniform, the primitive of all edges if asked for.

    The reference term has weight 1 and is not tuned.
    """
    ranges: dict[str, BaseDistribution] = {LEARNING_RATE: FloatDistribution(*space.learning_rate, log=True)}
    for term in space.terms:
        if not term.reference:
            ranges[LAMBDA + term.name] = FloatDistribution(term.low, term.high, log=True)
    if primitives:
        ranges[PRIMITIVE] = CategoricalDistribution(space.primitives)
    return ranges


def first_parameters(space: SearchSpace, *, learning_rate: float, primitives: bool) -> Parameters:
    """What a person tries first: the space's starts and the configuration's learning rate, inside its range."""
    low, high = space.learning_rate
    first: Parameters = {LEARNING_RATE: min(max(learning_rate, low), high)}
    first |= {LAMBDA + term.name: term.start for term in space.terms if not term.reference}
    if primitives:
        first[PRIMITIVE] = usual_primitive(space.primitives)
    return first


def loss_weights(parameters: Mapping[str, Any], space: SearchSpace) -> dict[str, float]:
    """Term name -> weight, in the space's order."""
    return {term.name: 1.0 if term.reference else float(parameters[LAMBDA + term.name]) for term in space.terms}


def network(parameters: Mapping[str, Any], space: SearchSpace, name: str) -> dict[str, Any]:
    """The network that a trial trains: its one primitive on every edge, or the network called `name`."""
    if PRIMITIVE in parameters:
        return {"genotype": Genotype.uniform(space.architecture, str(parameters[PRIMITIVE])).to_dict()}
    return space.named_network(name)
