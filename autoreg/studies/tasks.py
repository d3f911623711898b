"""On which kinds of pairs does AutoReg work?"""

from autoreg.studies.study import INITIAL, Study
from autoreg.studies.system import searched
from autoreg.studies.task import modality_pairs

TASKS = Study(
    "tasks",
    "AutoReg on every modality pair of every data set, against the pairs as they are",
    lambda config: [searched()],
    reference=INITIAL,
    tasks=modality_pairs,
)
