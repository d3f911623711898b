"""What a trial may choose, taken from the search space: the same terms and ranges that the search has."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from autoreg.networks import Genotype, usual_primitive
from autoreg.registration.space import SearchSpace

LEARNING_RATE = "learning_rate"
PRIMITIVE = "primitive"
STRUCTURE = "structure"
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
    return ranges | {
        name: CategoricalDistribution(options) for name, (options, _) in _choices(space, primitives).items()
    }


def first_parameters(space: SearchSpace, *, learning_rate: float, primitives: str) -> Parameters:
    """What a person tries first: the space's starts and the configuration's learning rate, inside its range."""
    low, high = space.learning_rate
    first: Parameters = {LEARNING_RATE: min(max(learning_rate, low), high)}
    first |= {LAMBDA + term.name: term.start for term in space.terms if not term.reference}
    return first | {name: usual for name, (_, usual) in _choices(space, primitives).items()}


def loss_weights(parameters: Mapping[str, Any], space: SearchSpace) -> dict[str, float]:
    """Term name -> weight, in the space's order."""
    return {term.name: 1.0 if term.reference else float(parameters[LAMBDA + term.name]) for term in space.terms}


def network(parameters: Mapping[str, Any], space: SearchSpace, name: str) -> dict[str, Any]:
    """The network that a trial trains: of the options it chose, or the network called `name`."""
    if PRIMITIVE in parameters:
        return {"genotype": Genotype.uniform(space.architecture, str(parameters[PRIMITIVE])).to_dict()}
    names, rows = _each(space), space.choices.rows
    if all(name in parameters for name in names):
        chosen = [row.options.index(str(parameters[name])) for name, row in zip(names, rows, strict=True)]
        return {"genotype": space.choices.genotype(chosen).to_dict()}
    return space.named_network(name)


def _choices(space: SearchSpace, primitives: str) -> dict[str, tuple[tuple[str, ...], str]]:
    """Parameter -> its options and the usual one: none, the primitive of all edges, or every choice of the search."""
    if primitives == "one":
        return {PRIMITIVE: (space.primitives, usual_primitive(space.primitives))}
    rows = zip(_each(space), space.choices.rows, space.choices.usual(), strict=True)
    return {} if primitives == "fixed" else {name: (row.options, row.options[usual]) for name, row, usual in rows}


def _each(space: SearchSpace) -> list[str]:
    """Parameters of every choice, in alpha's order."""
    edges = len(space.choices.edges)
    return [f"{PRIMITIVE if i < edges else STRUCTURE}.{row.name}" for i, row in enumerate(space.choices.rows)]
