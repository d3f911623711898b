"""Runs in an MLflow store: buffered, resumable, and no reason for a search to stop when the store is away."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from autoreg.errors import InputError
from autoreg.files import in_turn
from autoreg.tracking.outbox import Outbox, Point
from autoreg.tracking.tracker import MemoryTracker, Tracker, metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FLUSH_SECONDS = 5.0
_FLUSH_POINTS = 500
_RETRY_SECONDS = 30.0
_BATCH_POINTS = 1000  # MLflow's limits for one log_batch
_BATCH_NAMES = 100
_PARAM_CHARACTERS = 6000
_TAG_CHARACTERS = 7000
_REFUSED = {
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "RESOURCE_DOES_NOT_EXIST",
}  # our mistake: no use in again

_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # or MLflow's pages open with those for language models
    "mlflow.note.content": "Runs of AutoReg on one data set. `result/...` and `cost/...` compare across all of them; "
    "trainings are below their search, trials below their study; a run's description says what it found; pictures are "
    "artifacts.",
}
_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")


@cache
def mlflow_module() -> ModuleType:
    """MLflow itself. Imported on first use, because it takes seconds and `autoreg --help` does not need it."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    # The defaults (7 retries of 120 s) would hold a search for minutes at each flush to a dead server.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)  # lines about migrations of a new store
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what fails is ours to report, in one line
    return mlflow


def local_store(home: Path) -> tuple[str, str]:
    """Tracking URI and artifact root of the store that lives in the folder `home`."""
    home = Path(home).resolve()
    return f"sqlite:///{home / 'mlflow.db'}", (home / "mlartifacts").as_uri()


def open_tracker(
    uri: str | None,
    *,
    experiment: str,
    run_name: str,
    home: Path,
    run_id: str | None = None,
    tags: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
) -> Tracker:
    """A new run in an MLflow store, or the run `run_id` continued.

    Args:
        uri: any MLflow tracking URI; None for a store in `home`, created and migrated here when missing.
        experiment: made when missing.
        run_name: name of a new run.
        home: folder of the local store, and of what waits while a store is away.
        run_id: run to continue, also while the store is away; steps that its metrics have are not logged again.

    Raises:
        InputError: if the store has no such run, or does not answer and the run is new.
    """
    home = Path(home).resolve()
    home.mkdir(parents=True, exist_ok=True)
    address, artifact_root = (uri, None) if uri else local_store(home)
    mlflow = mlflow_module()
    try:
        # Two processes that find no database both make its tables, and one of them fails.
        with nullcontext() if uri else in_turn(home / "mlflow.lock"):
            client = mlflow.MlflowClient(address)
        if run_id:
            tracker = MlflowTracker(client, run_id, home=home, continued=True)
        else:
            run = client.create_run(_experiment_id(client, experiment, artifact_root), run_name=run_name)
            tracker = MlflowTracker(client, run.info.run_id, home=home)
    except Exception as error:  # a damaged or full store fails in the ways of its database's driver
        wanted = f"a store that opens run {run_id}" if run_id else "a store that answers"
        raise InputError(f"tracking uri {address}: expected {wanted}, got: {_line(error)}") from error
    tracker.tags(tags or {})
    tracker.params(params or {})
    return tracker


def _experiment_id(client: "MlflowClient", name: str, artifact_root: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    try:
        return client.create_experiment(name, artifact_location=artifact_root, tags=_EXPERIMENT_TAGS)
    except mlflow_module().exceptions.MlflowException:
        found = client.get_experiment_by_name(name)  # another process may have been first
        if found is None:
            raise
        return found.experiment_id


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _batches(items: Sequence[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class MlflowTracker(Tracker):
    """A run of an MLflow store. Metrics leave in batches, every few seconds and at `flush` and `close`.

    A store that stops answering is reported once; what it has not taken waits in memory and in
    `home/pending_metrics.<run id>.jsonl`, and goes out with a later flush, also after a resume. Whoever does not
    know what the store has (after a resume, or after a call without an answer, which may have been carried out)
    asks it before anything is sent, so each step is logged once.

    Args:
        continued: the run is not new, so the store may have a part of it.
    """

    def __init__(self, client: "MlflowClient", run_id: str, *, home: Path, continued: bool = False) -> None:
        self.run_id: str | None = run_id
        self._run: str = run_id
        self._client = client
        self._home = home
        self._pending = home / f"pending_metrics.{self._run}.jsonl"
        self._outbox = Outbox()
        self._outbox.reload(self._pending)
        self._params = dict(self._outbox.params)
        self._steps: dict[str, set[int]] = {}
        for point in self._outbox.points:
            self._is_new(point.name, point.step)
        self._unsure = continued
        self._away = False
        self._closed = False
        self._next_try = 0.0
        self._last_flush = time.monotonic()
        if continued:
            self._try(self._reopen)
        self.flush()

    def _reopen(self) -> None:
        self._learn()  # an unknown run is an error here, with its name
        self._client.update_run(self._run, status="RUNNING")

    def _learn(self) -> None:
        """Ask the store what it has of the run, and let go of it."""
        stored = self._client.get_run(self._run).data
        steps = {
            name: {point.step for point in self._client.get_metric_history(self._run, name)} for name in stored.metrics
        }
        box = self._outbox
        box.points = [point for point in box.points if point.step not in steps.get(point.name, ())]
        box.params = {name: value for name, value in box.params.items() if name not in stored.params}
        for name, value in stored.params.items():
            self._params.setdefault(name, value)
        for name, known in steps.items():
            self._steps.setdefault(name, set()).update(known)
        self._unsure = False

    def _is_new(self, name: str, step: int) -> bool:
        steps = self._steps.setdefault(name, set())
        if step in steps:
            return False
        steps.add(step)
        return True

    def params(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            name, text = metric_name(name), str(value)[:_PARAM_CHARACTERS]
            if name not in self._params:
                self._params[name] = self._outbox.params[name] = text
            elif self._params[name] != text:
                stored = self._params[name]
                _log.warning("run %s: parameter %s stays %s (set once), got %s", self._run, name, stored, text)
        self.flush()

    def tags(self, values: Mapping[str, object]) -> None:
        self._outbox.tags |= {metric_name(name): str(value)[:_TAG_CHARACTERS] for name, value in values.items()}
        self.flush()

    def metrics(self, values: Mapping[str, float], *, step: int) -> None:
        now = time.time_ns() // 1_000_000
        for name, value in values.items():
            name = metric_name(name)
            if self._is_new(name, step):
                self._outbox.points.append(Point(name, float(value), now, step))
        due = time.monotonic() - self._last_flush >= _FLUSH_SECONDS
        if due or len(self._outbox.points) >= _FLUSH_POINTS:
            self.flush()

    def artifact(self, path: Path, folder: str = "") -> None:
        if not Path(path).exists():
            raise FileNotFoundError(f"artifact: expected a file of the run, got {path}, which does not exist")
        self._outbox.artifacts.append((str(Path(path).resolve()), folder))
        self.flush()

    def figure(self, figure: Any, name: str) -> None:
        """Record a figure; unlike a file of the run it is drawn for the store only, and lost while that is away."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            figure.savefig(path)
            self._try(lambda: self._log_artifact(str(path), str(Path(name).parent)))

    def child(self, name: str, *, run_id: str | None = None, tags: Mapping[str, object] | None = None) -> Tracker:
        """A nested run; while the store is away, one in memory only, so that the work goes on."""
        children: list[Tracker] = []
        self._try(lambda: children.append(self._open_child(name, run_id, tags)))
        return children[0] if children else MemoryTracker(name, tags=tags)

    def _open_child(self, name: str, run_id: str | None, tags: Mapping[str, object] | None) -> Tracker:
        if run_id:
            child = MlflowTracker(self._client, run_id, home=self._home, continued=True)
        else:
            experiment = self._client.get_run(self._run).info.experiment_id
            run = self._client.create_run(experiment, run_name=name, tags={"mlflow.parentRunId": self._run})
            child = MlflowTracker(self._client, run.info.run_id, home=self._home)
        child.tags(tags or {})
        return child

    def flush(self) -> None:
        self._last_flush = time.monotonic()
        if self._last_flush >= self._next_try and self._outbox:
            self._try(self._deliver)
        if self._outbox:
            self._outbox.spill(self._pending)
        else:
            self._pending.unlink(missing_ok=True)

    def close(self, status: str = "FINISHED") -> None:
        if self._closed:
            return
        self._closed = True
        self._next_try = 0.0
        self.flush()
        self._try(lambda: self._client.set_terminated(self._run, status))

    def _try(self, send: Callable[[], object]) -> None:
        """Call `send`; a store that is away is reported once and left alone for a while, our own mistakes raise."""
        try:
            send()
        except Exception as error:  # artifact stores raise errors of their own libraries
            if getattr(error, "error_code", None) in _REFUSED:
                raise
            if not self._away:
                reason = f"{type(error).__name__}: {_line(error)}"
                _log.warning("run %s: the store is away, records wait in %s (%s)", self._run, self._pending, reason)
            self._away = self._unsure = True
            self._next_try = time.monotonic() + _RETRY_SECONDS
        else:
            self._away = False
            self._next_try = 0.0

    def _deliver(self) -> None:
        """Send the outbox; each batch leaves it once the store has taken it."""
        entities = mlflow_module().entities
        if self._unsure:
            self._learn()
        box = self._outbox
        for names in _batches(list(box.tags), _BATCH_NAMES):
            self._client.log_batch(self._run, tags=[entities.RunTag(name, box.tags[name]) for name in names])
            box.tags = {name: value for name, value in box.tags.items() if name not in names}
        for names in _batches(list(box.params), _BATCH_NAMES):
            self._client.log_batch(self._run, params=[entities.Param(name, box.params[name]) for name in names])
            box.params = {name: value for name, value in box.params.items() if name not in names}
        while box.points:
            batch = box.points[:_BATCH_POINTS]
            self._client.log_batch(self._run, metrics=[entities.Metric(*point) for point in batch])
            del box.points[:_BATCH_POINTS]
        while box.artifacts:
            path, folder = box.artifacts[0]
            if Path(path).exists():
                self._log_artifact(path, folder)
            else:
                _log.warning("run %s: artifact %s is gone and was not stored", self._run, path)
            del box.artifacts[0]

    def _log_artifact(self, path: str, folder: str) -> None:
        self._client.log_artifact(self._run, path, folder if folder not in ("", ".") else None)


def folder_of_run(run_id: str, *, uri: str | None, home: Path) -> Path:
    """Folder that the run says it works in.

    Raises:
        InputError: the store does not answer, has no such run, or the run names no folder.
    """
    address = uri or local_store(home)[0]
    if uri is None and not (Path(home) / "mlflow.db").exists():
        raise InputError(
            f"{home}: expected a folder with mlflow.db to find run {run_id} in, got none; see tracking.home"
        )
    mlflow = mlflow_module()
    try:
        tags = mlflow.MlflowClient(address).get_run(run_id).data.tags
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise InputError(f"tracking uri {address}: expected run {run_id}, got: {_line(error)}") from error
    if "folder" not in tags:
        raise InputError(f"run {run_id}: expected a tag folder, as autoreg writes it, got none")
    return Path(tags["folder"])


def compare_page(uri: str, run_ids: Sequence[str]) -> str:
    """Where MLflow's own pages show these runs of a store side by side: an address relative to theirs."""
    client = mlflow_module().MlflowClient(uri)
    experiments = sorted({client.get_run(run_id).info.experiment_id for run_id in run_ids})
    return f"#/compare-runs?runs={quote(json.dumps(list(run_ids)))}&experiments={quote(json.dumps(experiments))}"


def serve(home: Path, *, port: int, host: str = "127.0.0.1") -> None:
    """MLflow's own pages on the store in `home`, until interrupted.

    Raises:
        InputError: there is no store in that folder.
    """
    address, artifact_root = local_store(home)
    if not (Path(home) / "mlflow.db").exists():
        raise InputError(f"{home}: expected a folder with mlflow.db (runs by default), found none")
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", address, "--artifacts-destination", artifact_root]
    subprocess.run(command, env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, check=False)
