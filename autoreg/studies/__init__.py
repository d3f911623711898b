"""Studies: lists of systems, run on the same data with the same evaluation, in one table."""

from autoreg.studies.cost import COST
from autoreg.studies.generalisation import GENERALISATION
from autoreg.studies.optimality import OPTIMALITY
from autoreg.studies.peers import PEERS
from autoreg.studies.run import describe_study, run_study
from autoreg.studies.tasks import TASKS

STUDIES = {study.name: study for study in (OPTIMALITY, GENERALISATION, COST, TASKS, PEERS)}
"""Every study by name."""

__all__ = ["STUDIES", "describe_study", "run_study"]
