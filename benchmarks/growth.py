"""How a training step's time and memory grow with the work, and how far they are from what the device can do.

    python benchmarks/growth.py                                    one thread; table
    python benchmarks/growth.py --json growth.json --picture docs/images/growth.png

Curves over voxels, pairs, edges and, in the supernet, primitives; each point is the median of --repeat steps after a
warm-up. The exponent is the slope of log time over log size of the last two points: 1 is proportional. The limit is
the arithmetic that one product of large matrices reaches here, and the bandwidth of a copy.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from math import log
from pathlib import Path

import torch
from speed import circumstances, kept_mib
from speed_cases import Pair, System, our_system, trained
from torch.utils.flop_counter import FlopCounterMode

from autoreg.losses.similarity import lncc
from autoreg.networks import RELAXATIONS, Architecture, Choices, Supernet
from autoreg.registration.objective import displacement_at
from autoreg.spatial import halve, warp

SIZES = ((24, 32, 24), (32, 48, 32), (48, 64, 48), (64, 80, 64), (80, 96, 112))
SIZE = (48, 64, 48)
PRIMITIVES = ("conv3", "conv1", "dil3", "sep3", "conv5", "sep5", "dil5", "dil7")
COMPACT = {
    "dims": 3,
    "feature_channels": (8, 16, 32),
    "feature_edges": 2,
    "deformation_channels": (32, 16, 16),
    "downsampling": "pooled",
}


@dataclass(frozen=True)
class Point:
    """A training step of some size."""

    curve: str
    size: float
    seconds: float
    mib: float
    """Kept for the way back; on a GPU the peak."""
    gflop: float
    """Of convolutions and products of matrices, both ways."""


def points(device: torch.device, repeat: int) -> Iterator[Point]:
    """All curves, smallest first."""

    def one(curve: str, size: float, pair: Pair, system: System) -> Point:
        system.network.to(device)
        work = trained(system, pair)
        work()
        with FlopCounterMode(display=False) as counted:
            work()
        seconds = statistics.median(_seconds(work, device) for _ in range(repeat))
        return Point(curve, size, seconds, kept_mib(work, device), counted.get_total_flops() / 1e9)

    for shape in SIZES:
        pair = Pair.make(shape, device)
        yield one("voxels", pair.fixed.numel(), pair, _network(2))
    pair = Pair.make(SIZE, device)
    for count in (1, 2, 4):
        yield one("pairs", count, _repeated(pair, count), _network(2))
    for edges in (1, 2, 4):
        system = _network(edges)
        yield one("edges", len(Architecture(**COMPACT | {"feature_edges": edges}).edges()), pair, system)
    for count in (1, 2, 4, 8):
        yield one("primitives, softmax", count, pair, _supernet(count, "softmax"))
    for count in (1, 2, 4, 8):
        yield one("primitives, single-path", count, pair, _supernet(count, "single-path"))


def limits(device: torch.device) -> dict[str, float]:
    """What the device can do: arithmetic of one product of large matrices, bandwidth of a copy (both ways)."""
    a = torch.rand(1536, 1536, device=device)
    b = torch.rand(2**26, device=device)
    c = torch.empty_like(b)
    product = min(_seconds(lambda: a @ a, device) for _ in range(5))
    copy = min(_seconds(lambda: c.copy_(b), device) for _ in range(5))
    return {"gflop_per_second": 2 * 1536**3 / product / 1e9, "gb_per_second": 2 * b.nbytes / copy / 1e9}


def table(found: list[Point], most: float) -> str:
    lines = ["| curve | size | seconds | exponent | MiB | GFLOP/s | of the limit |", "|---|---|---|---|---|---|---|"]
    for before, point in zip([None, *found], found, strict=False):
        rate = point.gflop / point.seconds
        grows = ""
        if before and before.curve == point.curve:
            grows = f"{log(point.seconds / before.seconds) / log(point.size / before.size):.2f}"
        start = f"| {point.curve} | {point.size:g} | {point.seconds:.4g} | {grows} "
        lines.append(f"{start}| {point.mib:.0f} | {rate:.1f} | {rate / most:.0%} |")
    return "\n".join(lines)


def draw(found: list[Point], path: Path) -> None:
    """Time above and memory below, over size; a column a curve."""
    import matplotlib.pyplot as plt

    columns = list(dict.fromkeys(point.curve.split(",")[0] for point in found))
    figure, axes = plt.subplots(2, len(columns), figsize=(2.9 * len(columns), 4.4), sharex="col", layout="constrained")
    for (above, below), column in zip(axes.T, columns, strict=True):
        for name in dict.fromkeys(p.curve for p in found if p.curve.split(",")[0] == column):
            mine = [p for p in found if p.curve == name]
            sizes, label = [p.size for p in mine], name.partition(", ")[2]
            above.plot(sizes, [p.seconds for p in mine], "o-", label=label)
            below.plot(sizes, [p.mib for p in mine], "s--", label=label)
            if label:
                above.legend(fontsize=8)
        below.set_xlabel(column)
        below.xaxis.set_major_locator(plt.MaxNLocator(4))
        for axis in (above, below):
            axis.margins(y=0.1)
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("seconds a step")
    axes[1][0].set_ylabel("MiB kept")
    figure.savefig(path, dpi=110)


def _network(edges: int) -> System:
    return our_system({"name": "all-conv3", "architecture": COMPACT | {"feature_edges": edges}}, 1)


def _supernet(count: int, relaxation: str) -> System:
    """The weights' step of a search with the first so many primitives on every edge."""
    choices = Choices(Architecture(**COMPACT), PRIMITIVES[:count])  # type: ignore[arg-type]
    network = Supernet(choices, relaxation=relaxation)
    alpha, generator = torch.zeros(len(choices.rows), count), torch.Generator().manual_seed(0)

    def loss(pair: Pair) -> torch.Tensor:
        gates = [replace(g, weights=g.weights.to(pair.fixed)) for g in RELAXATIONS[relaxation](alpha, generator)]
        displacement = displacement_at(network(pair.fixed, pair.moving, gates), 1)
        fixed, moving, mask = (halve(t) for t in (pair.fixed, pair.moving, pair.mask))
        return lncc(fixed, warp(moving, displacement), mask, window=5).mean()

    return System(network, lambda pair: pair.fixed, loss)


def _repeated(pair: Pair, count: int) -> Pair:
    tensors = (pair.fixed, pair.moving, pair.mask, pair.displacement)
    return Pair(*(t.repeat(count, *[1] * (t.ndim - 1)) for t in tensors))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(given.device)
    most = limits(device)
    found = list(points(device, given.repeat))
    record = circumstances(device) | {"limits": most}
    print(f"{json.dumps(record)}\n\n{table(found, most['gflop_per_second'])}")
    if given.json:
        given.json.write_text(json.dumps(record | {"points": [asdict(p) for p in found]}, indent=1))
    if given.picture:
        draw(found, given.picture)


if __name__ == "__main__":
    main()
