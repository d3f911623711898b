"""Merged kernels: the same numbers as separate convolutions, values and derivatives, in double precision."""

import itertools

import pytest
import torch
from torch import Tensor

from autoreg.networks import RELAXATIONS
from autoreg.networks.cells import Edge
from autoreg.networks.merging import groups
from autoreg.networks.mixed import MixedOp
from autoreg.networks.primitives import PRIMITIVES, SLOPE, make_primitive

TAPS = {"conv1": (1, 1), "conv3": (3, 1), "conv5": (5, 1), "dil3": (3, 2), "dil5": (5, 2), "dil7": (7, 2)}
SPACES = {2: (9, 12), 3: (8, 6, 10)}
PAPER = ("conv1", "conv3", "conv5", "sep3", "sep5", "dil3", "dil5", "dil7")


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def mixed_op(activation: str, primitives: tuple[str, ...], *, dims: int, stride: int = 1, partial: int = 1) -> MixedOp:
    torch.manual_seed(3)
    edge = Edge("e", 5, 6, stride)
    op = MixedOp(edge, dims, primitives, activation=activation, partial=partial).double()
    for name, value in op.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value)
    return op


def sum_then_activation(op: MixedOp, weights: Tensor, x: Tensor) -> Tensor:
    """By hand: each primitive without its last layer, summed, activated."""
    outputs = []
    for weight, choice in zip(weights, op.choices, strict=True):
        out = x
        for layer in list(choice.children())[:-1]:
            out = layer(out)
        outputs.append(weight * out)
    return torch.nn.functional.leaky_relu(sum(outputs), SLOPE)


@pytest.mark.parametrize(("dims", "stride"), [(2, 1), (2, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("primitives", [("conv1", "conv3", "sep3", "dil3"), PAPER])
def test_values_and_derivatives_are_those_of_separate_passes(
    primitives: tuple[str, ...], dims: int, stride: int
) -> None:
    op = mixed_op("after_sum", primitives, dims=dims, stride=stride)
    x = torch.randn(2, 5, *SPACES[dims], generator=seeded(), dtype=torch.float64, requires_grad=True)
    alpha = torch.randn(1, len(primitives), generator=seeded(), dtype=torch.float64, requires_grad=True)
    found = []
    for merged in (True, False):
        (gate,) = RELAXATIONS["softmax"](alpha, seeded())
        op.gate = gate
        out = op(x) if merged else sum_then_activation(op, gate.weights, x)
        inputs = [alpha, x, *op.parameters()]
        found.append([out, *torch.autograd.grad((out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum(), inputs)])
    for one, other in zip(*found, strict=True):
        assert (one - other).detach().abs().max() <= 1e-10 * other.detach().abs().max()
    assert all(g.abs().max() > 0 for g in found[0])


def test_kernels_join_only_where_their_taps_are() -> None:
    def named(*names: str) -> set[frozenset[str]]:
        return {frozenset(names[i] for i in group) for group in groups(tuple(TAPS[n] for n in names))}

    assert named("conv1", "conv3", "dil3") == {frozenset(["conv1", "conv3"]), frozenset(["dil3"])}
    assert named("conv1", "conv3", "conv5", "dil3") == {frozenset(["conv1", "conv3", "conv5", "dil3"])}
    assert named("conv5", "dil5", "dil7") == {frozenset(["conv5"]), frozenset(["dil5", "dil7"])}
    for size in range(1, len(TAPS) + 1):
        for names in itertools.combinations(TAPS, size):
            for group in named(*names):
                assert len(group & {"conv5", "dil5", "dil7"}) <= 2  # the dense 5 never joins the dilated ones


def test_a_merged_edge_makes_fewer_passes() -> None:
    op = mixed_op("after_sum", ("conv1", "conv3", "conv5", "dil3", "dil5", "dil7"), dims=3)
    op.gate = RELAXATIONS["softmax"](torch.zeros(1, 6, dtype=torch.float64), seeded())[0]
    x = torch.rand(1, 5, 6, 6, 6, dtype=torch.float64)
    with torch.profiler.profile() as profile:
        op(x)
    assert sum(event.count for event in profile.key_averages() if event.key == "aten::convolution") == 2


@pytest.mark.parametrize("name", [n for n in PRIMITIVES if n in PAPER])
def test_a_decided_edge_is_the_primitive_whenever_it_is_activated(name: str) -> None:
    alpha = torch.full((1, len(PAPER)), -torch.inf, dtype=torch.float64)
    alpha[0, PAPER.index(name)] = 0.0
    x = torch.randn(1, 5, 7, 8, generator=seeded(), dtype=torch.float64)
    outputs = []
    for activation in ("inside", "after_sum"):
        op = mixed_op(activation, PAPER, dims=2)
        (op.gate,) = RELAXATIONS["softmax"](alpha, seeded())
        outputs.append(op(x))
    torch.testing.assert_close(outputs[0], op.choices[PAPER.index(name)](x), rtol=0, atol=1e-12)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-12)


def test_a_primitive_of_ones_own_keeps_its_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(dims: int, c_in: int, c_out: int, *, stride: int, kernel: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(c_in, c_out, 1), torch.nn.Tanh())

    monkeypatch.setitem(PRIMITIVES, "own", (build, 0))
    op = mixed_op("after_sum", ("conv3", "own"), dims=2)
    (op.gate,) = RELAXATIONS["softmax"](torch.tensor([[0.3, -0.2]], dtype=torch.float64), seeded())
    x = torch.randn(1, 5, 6, 6, generator=seeded(), dtype=torch.float64)
    a, b = op.gate.weights
    expected = torch.nn.functional.leaky_relu(a * op.choices[0][0](x), SLOPE) + b * op.choices[1](x)
    torch.testing.assert_close(op(x), expected)


def test_building_one_is_untouched() -> None:
    """Weights have the names that saved models know."""
    assert list(make_primitive("sep3", 3, 2, 3).state_dict()) == ["0.weight", "2.weight", "3.weight"]
    assert list(make_primitive("dil3", 3, 2, 3).state_dict()) == ["0.weight", "0.bias"]
