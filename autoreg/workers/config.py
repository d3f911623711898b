"""How many workers, and what each holds."""

from dataclasses import dataclass

from autoreg.errors import InputError
from autoreg.networks import PRECISIONS


@dataclass(frozen=True)
class WorkerConfig:
    """How many workers, and what each holds."""

    count: int = 1
    """Workers; what `min` and `max` are when they are not given."""
    min: int | None = None
    """Fewest workers to go on with when some are lost and there is no room for others."""
    max: int | None = None
    """Most workers, and the shares into which every batch is divided: the result depends on the number of shares,
    not on how many workers hold them."""
    threads: int = 1
    """CPU threads of torch in each worker."""
    gpus: float = 0.0
    """GPUs of each worker; may be a fraction."""
    average_every: int = 1
    """Steps that every share takes on its own before weights and moments are averaged; for slow networks between
    workers. 1 sums the gradients of every step, as one worker with the whole batch would."""
    precision: str = "float32"
    """Of the network's convolutions in weight steps: `float32` or `bfloat16`. Weights, moments, displacements and terms
    are float32 always, and so is all that the upper levels look at."""
    checkpointing: bool = False
    """Compute activations again on the way back instead of keeping them: the same numbers, less memory, more time."""
    address: str | None = None
    """Of a running Ray cluster; none starts one on this machine."""
    local: bool = False
    """One worker inside this process, without Ray; it holds all shares."""
    timeout_seconds: float = 3600.0
    """A call that takes longer counts as lost, whatever the next two say."""
    patience: float = 10.0
    """So many times the longest finished call of its kind: then a call counts as lost, too."""
    heartbeat_seconds: float = 60.0
    """A worker without a sign of life for so long counts as lost; no call is given up earlier for its length."""

    def __post_init__(self) -> None:
        lows = {"count": 1, "threads": 1, "gpus": 0, "timeout_seconds": 1, "patience": 1, "heartbeat_seconds": 1}
        lows["average_every"] = 1
        for name, low in lows.items():
            if getattr(self, name) < low:
                raise InputError(f"workers.{name}: expected at least {low}, got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise InputError(f"workers.precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if not 1 <= self.fewest <= self.most:
            raise InputError(f"workers.min: expected 1 to {self.most} (workers.max), got {self.fewest}")

    @property
    def fewest(self) -> int:
        """`min`, or where that is not given `count`, or `max` if that is less."""
        return self.min if self.min is not None else min(self.count, self.most)

    @property
    def most(self) -> int:
        """`max`, or where that is not given `count`."""
        return self.max if self.max is not None else self.count
