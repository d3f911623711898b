"""Networks: primitives, cells, the supernet, genotypes and what is derived from them."""

from autoreg.networks.architecture import Architecture
from autoreg.networks.cells import CELLS, Edge, chain, register_cell
from autoreg.networks.choices import Choices, choices_from_dict, topology_from_dict
from autoreg.networks.costs import Costs, Surface, Table, measure_costs
from autoreg.networks.expected import expected_cost
from autoreg.networks.genotype import Genotype, architecture_from_dict, check_primitive
from autoreg.networks.learning import Learning, learning_of
from autoreg.networks.matching import MATCHES, register_match
from autoreg.networks.mixed import ACTIVATIONS, RELAXATIONS, Gate
from autoreg.networks.precision import PRECISIONS, computing_in
from autoreg.networks.primitives import PRIMITIVES, register_primitive, usual_primitive, weight_count
from autoreg.networks.registration import Registration, RegistrationNetwork
from autoreg.networks.registry import NETWORKS, build_network, check_network
from autoreg.networks.supernet import Supernet, recompute_activations
from autoreg.networks.topology import Choice, Topology
from autoreg.networks.within import best_choice, best_within

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "MATCHES",
    "NETWORKS",
    "PRECISIONS",
    "PRIMITIVES",
    "RELAXATIONS",
    "Architecture",
    "Choice",
    "Choices",
    "Costs",
    "Edge",
    "Gate",
    "Genotype",
    "Learning",
    "Registration",
    "RegistrationNetwork",
    "Supernet",
    "Surface",
    "Table",
    "Topology",
    "architecture_from_dict",
    "best_choice",
    "best_within",
    "build_network",
    "chain",
    "check_network",
    "check_primitive",
    "choices_from_dict",
    "computing_in",
    "expected_cost",
    "learning_of",
    "measure_costs",
    "recompute_activations",
    "register_cell",
    "register_match",
    "register_primitive",
    "topology_from_dict",
    "usual_primitive",
    "weight_count",
]
