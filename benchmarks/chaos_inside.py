"""Faults inside workers, for benchmarks/chaos.py: an extension that `autoreg --extension` loads into every process.

What happens when is in inside.json beside the copy of this file that a search loads:
    pause      seconds that a round takes longer, so that faults from outside find it busy
    diverges   from this round on, unshortened steps give weights that are not a number
    memory     from this round on, a share of more than one pair asks for more memory than there is
    noise      reports come twice, and those of the round before once more
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from autoreg.trilevel.levels import Reduce
from autoreg.workers import share, worker
from autoreg.workers.messages import RoundReport, RoundTask

PLAN = json.loads(Path(__file__).with_name("inside.json").read_text())
_run_share, _take_turns = share.Share.run_round, worker.take_turns


def run_share(self: share.Share, task: RoundTask, reduce: Reduce) -> RoundReport:
    pairs = len(self.problem.shard.of([("", "")] * self.spec.batch_size))
    if pairs > 1 and task.index >= PLAN.get("memory", float("inf")):
        torch.empty(2**55)
    if task.index >= PLAN.get("diverges", float("inf")) and task.learning_rates[0] > 0.9 * PLAN["learning_rate"]:
        next(iter(self.network.parameters())).data.fill_(float("nan"))
    return _run_share(self, task, reduce)


def take_turns(*calls: Any) -> list[Any]:
    time.sleep(PLAN.get("pause", 0.0))
    reports = _take_turns(*calls)
    late = [replace(report, index=report.index - 1, terms=report.terms * 7) for report in reports]
    return [*late, *reports, *reports] if PLAN.get("noise") else reports


share.Share.run_round = run_share
worker.take_turns = take_turns  # not Worker.run_round: Ray sends the methods of an actor's class before any extension
