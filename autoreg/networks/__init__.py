"""Networks: primitives, cells, the supernet, genotypes and what is derived from them."""

from autoreg.networks.architecture import Architecture, Edge
from autoreg.networks.costs import Costs, best_within, measure_costs
from autoreg.networks.genotype import Genotype, architecture_from_dict, check_primitive
from autoreg.networks.learning import Learning, learning_of
from autoreg.networks.matching import MATCHES, register_match
from autoreg.networks.mixed import RELAXATIONS, Gate
from autoreg.networks.primitives import PRIMITIVES, register_primitive, usual_primitive, weight_count
from autoreg.networks.registration import Registration, RegistrationNetwork
from autoreg.networks.registry import NETWORKS, build_network, check_network
from autoreg.networks.supernet import Supernet

__all__ = [
    "MATCHES",
    "NETWORKS",
    "PRIMITIVES",
    "RELAXATIONS",
    "Architecture",
    "Costs",
    "Edge",
    "Gate",
    "Genotype",
    "Learning",
    "Registration",
    "RegistrationNetwork",
    "Supernet",
    "architecture_from_dict",
    "best_within",
    "build_network",
    "check_network",
    "check_primitive",
    "learning_of",
    "measure_costs",
    "register_match",
    "register_primitive",
    "usual_primitive",
    "weight_count",
]
