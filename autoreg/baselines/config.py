"""Settings of manual tuning."""

from dataclasses import dataclass

from autoreg.errors import InputError
from autoreg.networks import NETWORKS

PRIMITIVE_CHOICES = ("fixed", "one", "each")
SAMPLERS = ("tpe", "random")


@dataclass(frozen=True)
class TuneConfig:
    """The study that stands for tuning by hand."""

    trials: int = 10
    concurrent: int = 1
    """Trials under way at once; with one, the same seed gives the same study."""
    asha: bool = False
    """Stop poor trials early (ASHA)."""
    primitives: str = "fixed"
    """What else a trial chooses: nothing (`fixed`, `network` is trained), `one` primitive for all edges, or one for
    `each` edge, and the structure where the space searches it."""
    network: str = "all-conv3"
    sampler: str = "tpe"
    """`tpe`, or `random` for random search."""

    def __post_init__(self) -> None:
        for name in ("trials", "concurrent"):
            if getattr(self, name) < 1:
                raise InputError(f"tune.{name}: expected at least 1, got {getattr(self, name)}")
        for name, known in (("primitives", PRIMITIVE_CHOICES), ("sampler", SAMPLERS)):
            if getattr(self, name) not in known:
                raise InputError(f"tune.{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.network not in NETWORKS:
            raise InputError(f"tune.network: expected one of {', '.join(NETWORKS)}, got {self.network!r}")
