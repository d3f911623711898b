"""Does the search of loss weights help a network that it was not made for?"""

from autoreg.studies.study import Study
from autoreg.studies.system import searched, trained

NETWORK = "voxelmorph"
WITH_SEARCH = f"{NETWORK} + AutoReg"

GENERALISATION = Study(
    "generalisation",
    f"{NETWORK} with searched loss weights against the same with default ones",
    lambda config: [searched(WITH_SEARCH, network=NETWORK), trained(NETWORK)],
    reference=WITH_SEARCH,
)
