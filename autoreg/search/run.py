"""A run's folder and its records: config.yaml, result.json, the books, the tracker."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from autoreg.errors import InputError, StorageError
from autoreg.extensions import loaded_extensions
from autoreg.files import alone, is_held, whole_file
from autoreg.mirror import known_as, share
from autoreg.search.rounds import Journal, Row
from autoreg.tracking.ledger import Ledger
from autoreg.tracking.mlflow_tracker import open_tracker
from autoreg.tracking.note import NOTE, run_note
from autoreg.tracking.provenance import standard_tags
from autoreg.tracking.tracker import MemoryTracker, Tracker

logger = logging.getLogger(__name__)
MLFLOW_MODEL = "mlflow_model"
"""The folder with the model as MLflow knows models."""

_BEGUN = ("network", "source", "searched", "loss_weights")
"""What `Run.begin` has told of a training: kept when it is continued."""

_KEPT = (
    "space",
    "seed",
    "data.foreground",
    "data.fixed_modality",
    "data.moving_modality",
    "data.percentiles",
    "data.pairs",
    "search.network",
    "search.moves_until",
    "search.relaxation",
    "search.stated",
    "search.activation",
    "search.upper",
    "workers.precision",
    "tune.primitives",
    "tune.network",
)
"""Keys that a run's saved state depends on. Longer runs, more trials, other workers or stores are for `--resume`."""
_UNKNOWN = "a key that the version that wrote the file did not have"
_EARLIER = {"workers.precision": "float32", "search.moves_until": 0.0}
"""What they were in runs of versions that did not have the key."""

_TRACKED_FILES = (
    "config.yaml",
    "front.csv",
    "genotype.yaml",
    "loss_weights.yaml",
    "history.parquet",
    "cost.parquet",
    MLFLOW_MODEL,
    "model.pt",
    "report.html",
    "result.json",
)


@dataclass(frozen=True)
class RunPlan:
    """What a run is called and where it is recorded."""

    command: str
    folder: Path
    seed: int
    dataset_name: str
    dataset_hash: str
    config: Mapping[str, Any]
    """Plain values, as config.yaml keeps them."""
    experiment: str
    tracking_uri: str | None = None
    home: Path = Path("runs")
    """Folder of the local MLflow store."""
    parent: Mapping[str, Any] | None = None
    """result.json of the run that this one belongs to, for nesting in MLflow."""
    tracked: bool = True


@dataclass
class Run:
    """An open run. `finish` fills what result.json will say."""

    plan: RunPlan
    journal: Journal
    earlier_seconds: Mapping[str, float] = field(default_factory=dict)
    """Device-seconds of the runs this one builds on, by phase."""
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.plan.folder

    @property
    def tracker(self) -> Tracker:
        return self.journal.tracker

    def begin(self, **outcome: Any) -> None:
        """Fields of result.json that a run knows from its start, and needs to be continued."""
        self.outcome |= outcome
        _write_result(self, "running")

    def finish(self, **outcome: Any) -> None:
        """Fields of result.json: metrics, genotype, loss_weights, and others by name; pictures may be drawn from it."""
        self.outcome |= outcome
        _write_result(self, "finished")

    def device_seconds(self) -> dict[str, float]:
        """By phase, of this run and those it builds on; work lost to faults is included."""
        own = {p: t["device_seconds"] + t["wasted_seconds"] for p, t in self.journal.ledger.totals().items()}
        return {**self.earlier_seconds, **own}


@contextmanager
def open_run(
    plan: RunPlan,
    *,
    resume: bool,
    progress: Callable[[int, int, Row], None] | None = None,
    earlier_seconds: Mapping[str, float] | None = None,
) -> Iterator[Run]:
    """A run whose result.json always tells the truth: running, finished, failed or interrupted.

    Raises:
        InputError: the folder holds a run already and `resume` is not set.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    # two processes in one folder would book, log and overwrite twice
    with alone(plan.folder / ".lock", known_as(plan.folder)), _opened(plan, resume, progress, earlier_seconds) as run:
        yield run


def _check_same(plan: RunPlan, earlier: Mapping[str, Any]) -> None:
    """Raises InputError when the folder's run began with something else that its saved state depends on."""
    where = f"{known_as(plan.folder)}: --resume"
    if earlier.get("dataset_hash") not in (None, plan.dataset_hash):
        raise InputError(
            f"{where}: dataset: expected {earlier['dataset']} as the run began with it, got {plan.dataset_name} with "
            "other files, labels or splits; choose another --output"
        )
    if not (plan.folder / "config.yaml").exists():
        return
    before = yaml.safe_load((plan.folder / "config.yaml").read_text())
    for key in _KEPT:
        then, now = (_at(config, key) for config in (before, plan.config))
        then = _EARLIER.get(key, then) if then == _UNKNOWN else then
        if then != now:
            raise InputError(
                f"{where}: {key}: expected {then!r} as the run began, got {now!r}; choose another --output"
            )


def _at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value.get(name, _UNKNOWN) if isinstance(value, Mapping) else _UNKNOWN
    return value


@contextmanager
def _opened(
    plan: RunPlan,
    resume: bool,
    progress: Callable[[int, int, Row], None] | None,
    earlier_seconds: Mapping[str, float] | None,
) -> Iterator[Run]:
    earlier = read_result(plan.folder) if (plan.folder / "result.json").exists() else None
    if earlier is not None and not resume:
        raise InputError(
            f"{known_as(plan.folder)}: holds a run already; continue it with --resume or choose another --output"
        )
    if earlier is not None:
        _check_same(plan, earlier)
    tracker = _open_tracker(plan, earlier)
    journal = Journal(plan.folder, Ledger(plan.folder / "cost.jsonl"), tracker)
    if earlier is not None:
        journal.earlier_seconds = float(earlier.get("wall_seconds") or 0.0)
    if progress:
        journal.progress = progress
    begun = {key: earlier[key] for key in _BEGUN if earlier and earlier.get(key)}
    run = Run(plan, journal, dict(earlier_seconds or {}), begun)
    _write_result(run, "running")
    status = "failed"
    try:
        yield run
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        # where the disk is full or the like, what ended the run is what to say, not what it kept from being written
        with suppress(StorageError) if status != "finished" else nullcontext():
            journal.ledger.lose()
            journal.ledger.write_parquet(plan.folder / "cost.parquet")
            _write_result(run, status)
            share(plan.folder)
        with suppress(StorageError) if status != "finished" else nullcontext():
            if status == "finished":
                _track_outcome(run)
            tracker.close({"finished": "FINISHED", "interrupted": "KILLED"}.get(status, "FAILED"))


def is_worked_on(folder: Path) -> bool:
    """Whether a process works in the folder now; False also where the file system has no locks."""
    return is_held(folder / ".lock")


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a run's folder. Raises InputError when it is missing or torn."""
    path = Path(folder) / "result.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; expected the folder of an autoreg run") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not a JSON file: {error}") from error


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a run that came to its end."""
    return (folder / "result.json").exists() and read_result(folder)["status"] == "finished"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values, whole or not at all; NaN becomes null."""
    with whole_file(path) as file:
        file.write(json.dumps(_without_nan(values), indent=2).encode() + b"\n")


def run_name(command: str, folder: Path) -> str:
    """What a tracked run is called: its folder, and its command where the folder does not say it."""
    return folder.name if folder.name.startswith(command) else f"{command} {folder.name}"


def _open_tracker(plan: RunPlan, earlier: Mapping[str, Any] | None) -> Tracker:
    name = run_name(plan.command, plan.folder)
    tags = standard_tags() | {"command": plan.command, "dataset": plan.dataset_name, "dataset_hash": plan.dataset_hash}
    tags["folder"] = str(plan.folder.resolve())
    if plan.parent and plan.parent.get("mlflow_run_id"):
        tags["mlflow.parentRunId"] = plan.parent["mlflow_run_id"]
    if not plan.tracked:
        return MemoryTracker(name, tags=tags)
    opened = partial(
        open_tracker,
        plan.tracking_uri,
        experiment=plan.experiment,
        run_name=name,
        home=plan.home,
        tags=tags,
        params=_flat(plan.config),
    )
    run_id = earlier.get("mlflow_run_id") if earlier else None
    try:
        return opened(run_id=run_id)
    except InputError as error:
        if plan.tracking_uri or known_as(plan.folder) == plan.folder or not run_id:
            raise
        logger.warning("%s; this machine's own store has no such run, so a new one gets the whole history", error)
        return opened()


def _write_result(run: Run, status: str) -> None:
    plan, tags = run.plan, standard_tags()
    write_json(
        plan.folder / "result.json",
        {
            "command": plan.command,
            "name": plan.folder.name,
            "status": status,
            "seed": plan.seed,
            "version": tags.get("version.autoreg"),
            "commit": tags.get("mlflow.source.git.commit"),
            "extensions": list(loaded_extensions()),
            "dataset": plan.dataset_name,
            "dataset_hash": plan.dataset_hash,
            "wall_seconds": run.journal.wall_seconds,
            "device": _device(run),
            "device_seconds": run.device_seconds(),
            "wasted_seconds": {p: t["wasted_seconds"] for p, t in run.journal.ledger.totals().items()},
            "metrics": {},
            "genotype": None,
            "loss_weights": None,
            "mlflow_run_id": run.tracker.run_id,
            "mlflow_tracking_uri": plan.tracking_uri or f"sqlite:///{(plan.home / 'mlflow.db').resolve()}",
            **run.outcome,
        },
    )


def _device(run: Run) -> str | None:
    devices = run.journal.ledger.to_frame()["device"]
    return str(devices.iloc[-1]) if len(devices) else None


def _track_outcome(run: Run) -> None:
    """Figures that compare across runs, what the run says of itself, its files and pictures."""
    tracker, outcome = run.tracker, run.outcome
    metrics = {k: v for k, v in outcome.get("metrics", {}).items() if v is not None and v == v}
    metrics |= {f"lambda.{term}": weight for term, weight in (outcome.get("loss_weights") or {}).items()}
    seconds = run.device_seconds()
    wasted = sum(total["wasted_seconds"] for total in run.journal.ledger.totals().values())
    costs = {f"cost/{phase}_device_seconds": value for phase, value in seconds.items()}
    costs |= {"cost/total_device_seconds": sum(seconds.values()), "cost/wasted_device_seconds": wasted}
    tracker.metrics({f"result/{k}": float(v) for k, v in metrics.items()} | costs, step=0)
    told = {name: outcome[name] for name in ("network", "chosen", "best_trial") if outcome.get(name) is not None}
    tracker.tags(told | {NOTE: run_note(read_result(run.folder), run.folder.resolve())})
    for name in _TRACKED_FILES:
        if (run.folder / name).exists():
            tracker.artifact(run.folder / name)
    for picture in sorted((run.folder / "figures").glob("*.png")):
        tracker.artifact(picture, "figures")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and value != value else value
