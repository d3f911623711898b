"""How many workers, and what each holds."""

from dataclasses import dataclass

from autoreg.errors import InputError


@dataclass(frozen=True)
class WorkerConfig:
    """How many workers, and what each holds."""

    count: int = 1
    threads: int = 1
    """CPU threads of torch in each worker."""
    gpus: float = 0.0
    """GPUs of each worker; may be a fraction."""
    address: str | None = None
    """Of a running Ray cluster; none starts one on this machine."""
    local: bool = False
    """One worker inside this process, without Ray."""
    timeout_seconds: float = 3600.0
    """A round that takes longer counts as lost."""

    def __post_init__(self) -> None:
        for name, low in (("count", 1), ("threads", 1), ("gpus", 0), ("timeout_seconds", 1)):
            if getattr(self, name) < low:
                raise InputError(f"workers.{name}: expected at least {low}, got {getattr(self, name)}")
