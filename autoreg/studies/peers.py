"""AutoReg among all learned networks and the classical peers that are installed."""

from autoreg.classical import PEERS as CLASSICAL
from autoreg.networks import NETWORKS
from autoreg.studies.study import Study
from autoreg.studies.system import classical, searched, trained

PEERS = Study(
    "peers",
    "AutoReg, every network by name with default loss weights, and the classical peers",
    lambda config: [searched(), *(trained(name) for name in NETWORKS), *(classical(name) for name in CLASSICAL)],
)
