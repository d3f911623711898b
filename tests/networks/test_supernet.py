"""The supernet against the networks derived from it, and the gates of both relaxations."""

import pytest
import torch
from torch import Tensor

from autoreg.networks import RELAXATIONS, Architecture, Gate, Genotype, Supernet
from autoreg.networks.architecture import Edge
from autoreg.networks.mixed import MixedOp

PRIMITIVES = ("conv1", "sep3", "dil3")
SMALL = Architecture(dims=2, feature_channels=(3, 4), feature_edges=2, deformation_channels=(6, 4))


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
    supernet, derived = Supernet(SMALL, PRIMITIVES), Genotype.of_choices(SMALL, PRIMITIVES, chosen).build()
    assert len(set(chosen)) == len(PRIMITIVES)  # every primitive takes part
    derived.load_state_dict(weights_of_choices(supernet, dict(zip(supernet.edge_names, chosen, strict=True))))
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


def test_gates_are_required_and_do_not_stay() -> None:
    supernet = Supernet(SMALL, PRIMITIVES)
    pair = torch.rand(2, 1, 1, 8, 12, generator=seeded())
    gates = RELAXATIONS["softmax"](random_alpha().float(), seeded())
    supernet(*pair, gates)
    with pytest.raises(ValueError, match="inside a supernet"):
        supernet.network(*pair)
    with pytest.raises(ValueError, match="zip"):
        supernet(*pair, gates[1:])
