"""Settings of manual tuning."""

from dataclasses import dataclass

from autoreg.errors import InputError
from autoreg.networks import NETWORKS


@dataclass(frozen=True)
class TuneConfig:
    """The study that stands for tuning by hand."""

    trials: int = 10
    concurrent: int = 1
    """Trials under way at once; with one, the same seed gives the same study."""
    asha: bool = False
    """Stop poor trials early (ASHA)."""
    primitives: bool = False
    """Let each trial also choose one primitive for all edges, in place of `network`."""
    network: str = "all-conv3"

    def __post_init__(self) -> None:
        for name in ("trials", "concurrent"):
            if getattr(self, name) < 1:
                raise InputError(f"tune.{name}: expected at least 1, got {getattr(self, name)}")
        if self.network not in NETWORKS:
            raise InputError(f"tune.network: expected one of {', '.join(NETWORKS)}, got {self.network!r}")
