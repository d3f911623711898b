"""Is the found architecture better than the plain ones?"""

from autoreg.studies.study import Study
from autoreg.studies.system import searched, trained

PLAIN = ("all-conv1", "all-conv3", "all-conv7")

OPTIMALITY = Study(
    "optimality",
    "AutoReg against one primitive on every edge, with default loss weights",
    lambda config: [searched(), *(trained(name) for name in PLAIN)],
)
