"""A study from its list of systems to its table: every system on every task with every seed."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoreg.config import Config, write_yaml
from autoreg.errors import AutoRegError, InputError
from autoreg.records import run_plan
from autoreg.reporting.watch import Watch
from autoreg.search.run import open_run
from autoreg.studies.shared import Bench
from autoreg.studies.study import Study
from autoreg.studies.system import Outcome, System
from autoreg.studies.table import Result
from autoreg.studies.task import Task
from autoreg.studies.write import make_report, write_rest, write_tables, written

SHARED = "shared"
"""Folder of finished runs, beside those of the studies that use them."""


@dataclass(frozen=True)
class _Job:
    task: Task
    system: System
    seed: int

    def __str__(self) -> str:
        return f"{self.task.name}, {self.system.name}" + (f", seed {self.seed}" if self.system.seeded else "")


def run_study(
    study: Study,
    config: Config,
    *,
    datasets: Sequence[Path | None],
    output: Path,
    seeds: int = 1,
    only: Sequence[str] = (),
    resume: bool = False,
    watch: Watch | None = None,
) -> str:
    """Make, score and compare a study's systems; returns the table as text.

    The folder OUTPUT/STUDY has the tables, OUTPUT/shared the runs, which other studies with the same OUTPUT find
    there. The tables are written after every run, so a stopped study leaves what it has.

    Args:
        seeds: so many, from the configuration's seed on.
        only: names of systems; none is all of them.
        resume: go on in OUTPUT/STUDY; finished runs are never repeated.

    Raises:
        InputError: wrong configuration or data, an unknown name in `only`, or OUTPUT/STUDY holds a study already.
        AutoRegError: a run failed, or no system gave a result. One that diverges, and a classical peer that fails,
            is a line below the table.
    """
    tasks, systems, numbers = _opened(study, config, datasets, only, seeds)
    jobs = _jobs(tasks, systems, numbers)
    folder = output / study.name
    plan = run_plan(f"study {study.name}", config, tasks[0].setting, folder)
    plan = replace(plan, dataset_name=", ".join(task.name for task in tasks))
    with open_run(plan, resume=resume) as run:
        write_yaml(folder / "config.yaml", plan.config)
        run.tracker.tags({"systems": ", ".join(s.name for s in systems), "seeds": ", ".join(map(str, numbers))})
        results: list[Result] = []
        failed: list[str] = []
        report = None
        for number, job in enumerate(jobs, start=1):
            label = f"{number}/{len(jobs)} {job}"
            bench = Bench(job.task, replace(job.task.config, seed=job.seed), output / SHARED, watch or Watch(), label)
            made = job.system.make(bench)
            if isinstance(made, Outcome):
                results.append(Result(job.task.name, job.system.name, job.seed, made))
                report = make_report(study, tasks, results, failed, numbers)
                write_tables(report, folder)
            else:
                failed.append(f"{job}: no result: {made}")
        if report is None:
            raise AutoRegError(f"{folder}: no system gave a result; {'; '.join(failed)}")
        report = make_report(study, tasks, results, failed, numbers)
        write_tables(report, folder)
        write_rest(report, tasks, folder)
        run.tracker.metrics(report.metrics(), step=len(numbers))
        for name in written(tasks):
            run.tracker.artifact(folder / name)
        sources = [str(task.dataset.resolve()) for task in tasks]
        run.finish(systems=_records(results), failed=failed, datasets=list(dict.fromkeys(sources)), seeds=numbers)
    return report.text()


def describe_study(
    study: Study,
    config: Config,
    *,
    datasets: Sequence[Path | None],
    output: Path,
    seeds: int = 1,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """What `run_study` would do, after checking that it can. Raises InputError."""
    tasks, systems, numbers = _opened(study, config, datasets, only, seeds)
    return {
        "study": f"{study.name}: {study.question}",
        "folder": output / study.name,
        "shared": output / SHARED,
        "tasks": "; ".join(f"{task.name}, {len(task.pairs)} test pairs" for task in tasks),
        "systems": ", ".join(system.name for system in systems),
        "against": study.reference,
        "seeds": ", ".join(map(str, numbers)),
        "rows": f"{len(_jobs(tasks, systems, numbers))} to make or to find",
    }


def _opened(
    study: Study, config: Config, datasets: Sequence[Path | None], only: Sequence[str], seeds: int
) -> tuple[list[Task], list[System], list[int]]:
    if seeds < 1:
        raise InputError(f"--seeds: expected at least 1, got {seeds}")
    systems = _chosen(list(study.systems(config)), only)
    tasks = study.tasks(config, datasets)
    return tasks, systems, list(range(config.seed, config.seed + seeds))


def _chosen(systems: list[System], only: Sequence[str]) -> list[System]:
    known = [system.name for system in systems]
    for name in only:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InputError(f"--only: expected one of {', '.join(known)}, got {name!r}{hint}")
    return [system for system in systems if not only or system.name in only]


def _jobs(tasks: Sequence[Task], systems: Sequence[System], seeds: Sequence[int]) -> list[_Job]:
    """The first seed of everything first, so that a stopped study has a whole table of fewer seeds."""
    return [
        _Job(task, system, seed)
        for seed in seeds
        for task in tasks
        for system in systems
        if system.seeded or seed == seeds[0]
    ]


def _records(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {
            "task": result.task,
            "system": result.system,
            "seed": result.seed,
            "folder": str(result.outcome.folder),
            "device_seconds": dict(result.outcome.device_seconds),
        }
        for result in results
    ]
