"""The triple-level problem and its hypergradients; knows no images."""

from autoreg.trilevel.levels import Output, Reduce, TriLevelProblem, no_reduce
from autoreg.trilevel.loss_weights import LossWeights, WeightRange
from autoreg.trilevel.lower import LowerStep
from autoreg.trilevel.solve import Round, RoundParts, solve_round

__all__ = [
    "LossWeights",
    "LowerStep",
    "Output",
    "Reduce",
    "Round",
    "RoundParts",
    "TriLevelProblem",
    "WeightRange",
    "no_reduce",
    "solve_round",
]
