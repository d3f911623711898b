"""The verbs of tracking, and the version that only remembers."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self


def metric_name(name: str) -> str:
    """`name` with what MLflow refuses in a metric, parameter or tag (such as `>` in `a->b`) replaced by `_`."""
    return re.sub(r"[^\w\-. :/]", "_", name)


class Tracker(Protocol):
    """One tracked run. Leaving the context closes it: FINISHED, or FAILED after an exception."""

    run_id: str | None

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters. The first value of a name stays; a different one later is reported and dropped."""
        ...

    def tags(self, values: Mapping[str, object]) -> None:
        """Record tags; a later value replaces an earlier one."""
        ...

    def metrics(self, values: Mapping[str, float], *, step: int) -> None:
        """Record metrics of one step. A step that a metric already has is dropped, so a round may be replayed."""
        ...

    def artifact(self, path: Path, folder: str = "") -> None:
        """Record a file of the run, under `folder` in the store."""
        ...

    def figure(self, figure: Any, name: str) -> None:
        """Record a matplotlib figure under `name`, a relative path such as `figures/alpha.png`."""
        ...

    def child(self, name: str, *, run_id: str | None = None, tags: Mapping[str, object] | None = None) -> "Tracker":
        """A nested run, new or (by `run_id`) continued. Closing the parent does not close it."""
        ...

    def flush(self) -> None:
        """Hand over what is buffered. To be called before a checkpoint is saved: what comes after is replayed."""
        ...

    def close(self, status: str = "FINISHED") -> None:
        """Flush, and give the run its final status: FINISHED, FAILED or KILLED."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close("FINISHED" if kind is None else "FAILED")


class MemoryTracker(Tracker):
    """Keeps everything in plain attributes; for tests and for runs without tracking.

    Example:
        >>> with MemoryTracker("demo") as tracker:
        ...     tracker.metrics({"val_dice": 0.7}, step=1)
        >>> tracker.history
        {'val_dice': {1: 0.7}}
    """

    def __init__(self, name: str = "", *, tags: Mapping[str, object] | None = None) -> None:
        self.run_id = None
        self.name = name
        self.status = "RUNNING"
        self.stored_params: dict[str, str] = {}
        self.stored_tags: dict[str, str] = {}
        self.history: dict[str, dict[int, float]] = {}
        self.artifacts: list[tuple[Path, str]] = []
        self.figures: dict[str, Any] = {}
        self.children: list[MemoryTracker] = []
        self.tags(tags or {})

    def params(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            self.stored_params.setdefault(metric_name(name), str(value))

    def tags(self, values: Mapping[str, object]) -> None:
        self.stored_tags.update({metric_name(name): str(value) for name, value in values.items()})

    def metrics(self, values: Mapping[str, float], *, step: int) -> None:
        for name, value in values.items():
            self.history.setdefault(metric_name(name), {}).setdefault(step, float(value))

    def artifact(self, path: Path, folder: str = "") -> None:
        self.artifacts.append((Path(path), folder))

    def figure(self, figure: Any, name: str) -> None:
        self.figures[name] = figure

    def child(
        self, name: str, *, run_id: str | None = None, tags: Mapping[str, object] | None = None
    ) -> "MemoryTracker":
        self.children.append(MemoryTracker(name, tags=tags))
        return self.children[-1]

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self, status: str = "FINISHED") -> None:
        self.status = status
