"""The supernet against the networks derived from it, and the gates of both relaxations."""

import pytest
import torch
from torch import Tensor

from autoreg.networks import RELAXATIONS, Architecture, Choices, Gate, Supernet, weight_count
from autoreg.networks.cells import Edge
from autoreg.networks.mixed import MixedOp

PRIMITIVES = ("conv1", "sep3", "dil3")
SMALL = Architecture(dims=2, feature_channels=(3, 4), feature_edges=2, deformation_channels=(6, 4))
CHOICES = Choices(SMALL, PRIMITIVES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_alpha() -> Tensor:
    return torch.randn(len(SMALL.edges()), len(PRIMITIVES), generator=seeded(), dtype=torch.float64)


def weights_of_choices(supernet: Supernet, chosen: dict[str, int]) -> dict[str, Tensor]:
    """The supernet's weights under the names that the derived network has for them."""
    found = {}
    for name, value in supernet.network.state_dict().items():
        place, mixed, choice = name.partition(".choices.")
        if not mixed:
            found[name] = value
            continue
        cell, index, *_, position = place.split(".")
        edge = f"{cell.removesuffix('s')}.{int(index) + 1}.{position}"
        number, _, inner = choice.partition(".")
        if chosen[edge] == int(number):
            found[f"{place}.{inner}"] = value
    return found


@pytest.mark.parametrize("active", ["one", "all"])
def test_one_hot_gates_give_the_derived_network(active: str) -> None:
    alpha = random_alpha()
    chosen = alpha.argmax(1).tolist()
    supernet, derived = Supernet(CHOICES), CHOICES.genotype(chosen).build()
    assert len(set(chosen)) == len(PRIMITIVES)  # every primitive takes part
    derived.load_state_dict(
        weights_of_choices(supernet, dict(zip([edge.name for edge in SMALL.edges()], chosen, strict=True)))
    )
    one_hot = torch.eye(len(PRIMITIVES))
    gates = [Gate(one_hot[i], (i,) if active == "one" else (0, 1, 2)) for i in chosen]
    pair = torch.rand(2, 1, 1, 8, 12, generator=seeded())
    assert torch.equal(supernet(*pair, gates).displacement, derived(*pair).displacement)
    assert not any(isinstance(module, MixedOp) for module in derived.modules())


def test_softmax_gates_mix_everything() -> None:
    alpha = torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    (gate,) = RELAXATIONS["softmax"](alpha, seeded())
    torch.testing.assert_close(gate.weights, torch.tensor([1.0, 2.0, 5.0]) / 30**0.5)  # softmax, then length 1
    op = MixedOp(Edge("e", 2, 3), 2, PRIMITIVES)
    op.gate = gate
    x = torch.rand(1, 2, 5, 5)
    expected = sum(w * choice(x) for w, choice in zip(gate.weights, op.choices, strict=True))
    torch.testing.assert_close(op(x), expected)


def test_single_path_gates_are_one_with_the_gradient_of_the_softmax() -> None:
    alpha = random_alpha().float().requires_grad_()
    gates = RELAXATIONS["single-path"](alpha, seeded())
    drawn = [gate.active[0] for gate in gates]
    assert [float(g.weights[i].detach()) for g, i in zip(gates, drawn, strict=True)] == [1.0] * len(gates)
    torch.stack([g.weights[i] for g, i in zip(gates, drawn, strict=True)]).sum().backward()
    p = alpha.detach().softmax(1)
    own = p[range(len(gates)), drawn][:, None]
    torch.testing.assert_close(alpha.grad, own * (torch.nn.functional.one_hot(torch.tensor(drawn), 3) - p))


def test_single_paths_are_seeded_and_follow_alpha() -> None:
    def paths(alpha: Tensor, seed: int) -> list[int]:
        return [gate.active[0] for gate in RELAXATIONS["single-path"](alpha, seeded(seed))]

    even = torch.zeros(300, 3)
    assert paths(even, 1) == paths(even, 1) != paths(even, 2)
    likely = torch.log(torch.tensor([[0.1, 0.2, 0.7]])).expand(3000, 3)
    assert torch.tensor(paths(likely, 0)).bincount().div(3000).tolist() == pytest.approx([0.1, 0.2, 0.7], abs=0.03)


def partial_op(c_in: int, c_out: int, stride: int = 1) -> tuple[MixedOp, Tensor]:
    op = MixedOp(Edge("e", c_in, c_out, stride), 2, PRIMITIVES, partial=4)
    (gate,) = RELAXATIONS["softmax"](torch.tensor([[0.5, -0.5, 0.1]]), seeded())
    op.gate = gate
    return op, gate.weights


PARTIAL_EDGES = [(36, 36, 1, 9, 9), (40, 24, 1, 10, 8), (12, 33, 2, 8, 9), (33, 33, 2, 9, 9)]


@pytest.mark.parametrize(("c_in", "c_out", "stride", "n_in", "n_out"), PARTIAL_EDGES)
def test_partial_channels_mix_a_quarter(c_in: int, c_out: int, stride: int, n_in: int, n_out: int) -> None:
    (op, weights), x = partial_op(c_in, c_out, stride), torch.rand(2, c_in, 8, 12, generator=seeded())
    out = op(x)
    assert out.shape == (2, c_out, 8 // stride, 12 // stride)
    spread = [int(i * c_in / n_in) for i in range(n_in)]
    taken, others = x[:, spread], x[:, [c for c in range(c_in) if c not in spread]]
    through = sum(w * choice(taken) for w, choice in zip(weights, op.choices, strict=True))
    assert through.shape[1] == n_out
    torch.testing.assert_close(out[:, :n_out], through)
    assert op.past is not None and isinstance(op.past, torch.nn.Identity) == ((c_in, stride) == (36, 1))
    past = op.past(others)
    torch.testing.assert_close(out[:, n_out:], past)


@pytest.mark.parametrize(("c_in", "c_out"), [(1, 16), (16, 8), (8, 32)])
def test_partial_channels_mix_all_where_none_could_go_past(c_in: int, c_out: int) -> None:
    (op, weights), x = partial_op(c_in, c_out), torch.rand(1, c_in, 6, 6)
    expected = sum(w * choice(x) for w, choice in zip(weights, op.choices, strict=True))
    torch.testing.assert_close(op(x), expected)


def test_a_partial_supernet_is_small_and_reaches_every_weight() -> None:
    wide = Architecture(dims=2, feature_channels=(16, 32), feature_edges=2, deformation_channels=(48, 32))
    whole = Supernet(Choices(wide, PRIMITIVES))
    partial = Supernet(Choices(wide, PRIMITIVES), relaxation="partial-channel")
    assert weight_count(partial) < weight_count(whole) / 5
    alpha = random_alpha().float().requires_grad_()
    gates = RELAXATIONS["partial-channel"](alpha, seeded())
    partial(*torch.rand(2, 1, 1, 8, 12, generator=seeded()), gates).displacement.square().sum().backward()
    assert [name for name, p in partial.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert alpha.grad is not None and (alpha.grad.abs().sum(1) > 0).all()


def test_what_is_no_option_is_not_computed_and_gets_no_gradient() -> None:
    alpha = torch.tensor([[0.0, -torch.inf, 1.0], [0.0, 0.0, -torch.inf]], requires_grad=True)
    for name in ("softmax", "single-path"):
        gates = RELAXATIONS[name](alpha, seeded())
        assert 1 not in gates[0].active and 2 not in gates[1].active
        (grad,) = torch.autograd.grad(torch.stack([(g.weights * torch.arange(3.0)).sum() for g in gates]).sum(), alpha)
        assert torch.isfinite(grad).all() and grad[0, 1] == grad[1, 2] == 0 and (grad.abs().sum(1) > 0).all()


def test_gates_are_required_and_do_not_stay() -> None:
    supernet = Supernet(CHOICES)
    pair = torch.rand(2, 1, 1, 8, 12, generator=seeded())
    gates = RELAXATIONS["softmax"](random_alpha().float(), seeded())
    supernet(*pair, gates)
    with pytest.raises(ValueError, match="inside a supernet"):
        supernet.network(*pair)
    with pytest.raises(ValueError, match="zip"):
        supernet(*pair, gates[1:])
