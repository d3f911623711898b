"""What the relaxations of one edge cost, forward and backward, side by side in one process.

    python benchmarks/relaxations.py                       the edges of docs/decisions.md
    python benchmarks/relaxations.py --threads 2 --repeat 9 --json relaxations.json

Every variant takes its turn in each repetition. A column is the median over repetitions of its time to that of
`softmax` (each primitive activated, then summed). `separate` sums before the activation with one pass a primitive,
`merged` is `after_sum` as it is used, `one kernel` spreads all linear primitives to the dense kernel that holds them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from autoreg.networks import RELAXATIONS
from autoreg.networks.cells import Edge
from autoreg.networks.mixed import PARTIAL, MixedOp

SPACES = ((24, 32, 24), (48, 64, 48))
CHANNELS = (16, 32)
SETS = {
    "compact": ("conv1", "conv3", "sep3", "dil3"),
    "linear": ("conv1", "conv3", "conv5", "dil3"),
    "paper": ("conv1", "conv3", "conv5", "sep3", "sep5", "dil3", "dil5", "dil7"),
}


class Separate(MixedOp):
    """`after_sum` without merging."""

    def _sum(self, x: Tensor, gate: object, inner: object) -> Tensor:
        outputs = [w * c.before_activation(x) for c, w in self._pairs()]
        return torch.nn.functional.leaky_relu(torch.stack(outputs).sum(0), 0.2)

    def _pairs(self) -> list[tuple[torch.nn.Module, Tensor]]:
        assert self.gate is not None
        return [(c, w) for c, w in zip(self.choices, self.gate.weights, strict=True)]


class OneKernel(Separate):
    """All linear primitives in one dense kernel."""

    def _sum(self, x: Tensor, gate: object, inner: object) -> Tensor:
        linear = [(c.convolution, w) for c, w in self._pairs() if c.convolution is not None]
        size = max((c.kernel_size[0] - 1) * c.dilation[0] + 1 for c, _ in linear)
        first = linear[0][0].weight
        kernel = first.new_zeros(*first.shape[:2], *[size] * 3)
        for c, w in linear:
            reach = (c.kernel_size[0] - 1) // 2 * c.dilation[0]
            place = slice(size // 2 - reach, size // 2 + reach + 1, c.dilation[0])
            kernel[..., place, place, place] += w * c.weight
        out = torch.nn.functional.conv3d(x, kernel, padding=size // 2)
        others = [w * c.before_activation(x) for c, w in self._pairs() if c.convolution is None]
        return torch.nn.functional.leaky_relu(torch.stack([out, *others]).sum(0), 0.2)


def variants(edge: Edge, primitives: tuple[str, ...], space: tuple[int, ...]) -> dict[str, Callable[[], float]]:
    """Name -> one pass forward and back in seconds."""
    x = torch.rand(1, edge.c_in, *space).to(memory_format=torch.channels_last_3d).requires_grad_()
    drawn = torch.Generator().manual_seed(0)

    def timed(op: MixedOp, relaxation: str) -> Callable[[], float]:
        op = op.to(memory_format=torch.channels_last_3d)  # as workers have it
        alpha = torch.zeros(1, len(op.choices), requires_grad=True)

        def once() -> float:
            start = time.perf_counter()
            (op.gate,) = RELAXATIONS[relaxation](alpha, drawn)
            torch.autograd.grad(op(x).square().sum(), [x, alpha, *op.parameters()], allow_unused=True)
            return time.perf_counter() - start

        return once

    return {
        "softmax": timed(MixedOp(edge, 3, primitives), "softmax"),
        "separate": timed(Separate(edge, 3, primitives), "softmax"),
        "merged": timed(MixedOp(edge, 3, primitives, activation="after_sum"), "softmax"),
        "one kernel": timed(OneKernel(edge, 3, primitives), "softmax"),
        "partial-channel": timed(MixedOp(edge, 3, primitives, partial=PARTIAL), "partial-channel"),
        "partial, merged": timed(
            MixedOp(edge, 3, primitives, partial=PARTIAL, activation="after_sum"), "partial-channel"
        ),
        "single-path": timed(MixedOp(edge, 3, primitives), "single-path"),
        "conv3 alone": timed(MixedOp(edge, 3, ("conv3",)), "softmax"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"torch {torch.__version__}, {given.threads} threads; seconds of softmax, then ratios to it")
    rows = []
    for name in given.sets:
        for space in SPACES:
            for channels in CHANNELS:
                found = variants(Edge("e", channels, channels), SETS[name], space)
                if name == "paper" and (space, channels) != (SPACES[0], CHANNELS[0]):
                    del found["one kernel"]  # 13^3 taps: minutes a pass, and seen once already
                seconds: dict[str, list[float]] = {variant: [] for variant in found}
                for repetition in range(given.repeat + 1):
                    for variant, once in found.items():
                        value = once()
                        if repetition:  # the first warms up
                            seconds[variant].append(value)
                unit = seconds["softmax"]
                ratios = {v: statistics.median(a / b for a, b in zip(s, unit, strict=True)) for v, s in seconds.items()}
                size = "x".join(map(str, space))
                rows.append({"set": name, "space": size, "channels": channels, "ratios": ratios})
                told = ", ".join(f"{v} {r:.2f}" for v, r in ratios.items() if v != "softmax")
                print(f"{name:<8} {size:<9} {channels:>3} {statistics.median(unit):8.3f} s  {told}", flush=True)
    if given.json:
        given.json.write_text(
            json.dumps({"torch": torch.__version__, "threads": given.threads, "rows": rows}, indent=2)
        )


if __name__ == "__main__":
    main()
