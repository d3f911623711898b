"""Decided structural choices: the supernet computes what the decoded network computes with the same weights."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from autoreg.errors import SearchSpaceError
from autoreg.networks import (
    MATCHES,
    RELAXATIONS,
    Architecture,
    Choices,
    Genotype,
    Supernet,
    Topology,
    weight_count,
)
from autoreg.networks.cells import CELLS, Cell, Edge
from autoreg.networks.matching import VIEWS, View
from autoreg.networks.structure import first_channels

PRIMITIVES = ("conv1", "sep3", "dil3")
BASE = Architecture(
    dims=2,
    feature_channels=(4, 5, 6),
    feature_edges=2,
    deformation_channels=(7, 4),
    match="concat",
    downsampling="pooled",
    integration_steps=3,
)
EVERYTHING = Topology(("displacement", "decoded", "cost", "finer", "moving"), 1, (0.5, 0.75, 1.0))


class Residual(torch.nn.Module):
    """Later edges are added to what came before where channels agree."""

    def __init__(self, edges: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.edges = torch.nn.ModuleList(edges)

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = self.edges
        x = first(x)
        for edge in rest:
            out = edge(x)
            x = out + x if out.shape == x.shape else out
        return x


def two_branches(c_in: int, channels: Sequence[int], stride: int) -> list[Edge]:
    return [Edge(name, c_in, channels[-1], stride, at_input=True) for name in ("left", "right")]


class Sum(torch.nn.Module):
    def __init__(self, edges: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.edges = torch.nn.ModuleList(edges)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.edges
        return left(x) + right(x)


def decided(choices: Choices, chosen: Sequence[int]) -> Tensor:
    alpha = torch.full(choices.there.shape, -torch.inf, dtype=torch.float64)
    alpha[range(len(chosen)), list(chosen)] = 0.0
    return alpha


def random_choice(choices: Choices, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return [int(torch.randint(len(row.options), (1,), generator=generator)) for row in choices.rows]


def kept_inputs(wide: Architecture, narrow: Architecture, name: str) -> list[int]:
    """By hand: which of an edge's input channels in the wide network are those of the narrow one."""
    kind, level, _ = name.split(".", 2)
    edge = {e.name: e for e in narrow.edges()}[name]
    if kind == "feature" or not edge.at_input:
        return list(range(edge.c_in))
    level, kept, start = int(level), [], 0
    for part in wide.inputs_of(level):
        total = wide.input_channels(level, part)
        if part in narrow.inputs_of(level):
            own = narrow.input_channels(level, part)
            blocks = {"finer": 2, "pair": 2}.get(part, 1)
            kept += [start + b * total // blocks + c for b in range(blocks) for c in range(own // blocks)]
        start += total
    return kept


def copied_weights(supernet: Supernet, genotype: Genotype) -> Mapping[str, Tensor]:
    """The decoded network's weights, cut out of the supernet's."""
    choices, narrow = supernet.choices, genotype.architecture
    wide = choices.largest
    edges = {e.name: e for e in narrow.edges()}
    shared = supernet.network.state_dict()
    modules = {op: name for name, op in supernet.network.named_modules()}
    found = {k: v for k, v in shared.items() if ".refine." in k and int(k.split(".")[1]) < narrow.levels}
    for level in range(1, narrow.levels + 1):
        last = narrow.channels_of_deformation(level)[-1]
        place = f"deformations.{level - 1}.head"
        found |= {f"{place}.weight": shared[f"{place}.weight"][:, :last], f"{place}.bias": shared[f"{place}.bias"]}
    for name, edge in edges.items():
        place = modules[supernet._mixed[name]]
        prefix = f"{place}.choices.{choices.primitives.index(genotype.edges[name])}."
        inputs = kept_inputs(wide, narrow, name)
        for key in [k for k in shared if k.startswith(prefix)]:
            layer, value = key.removeprefix(prefix), shared[key]
            dense = genotype.edges[name] == "sep3" and layer == "0.weight"
            depthwise = genotype.edges[name] == "sep3" and layer == "2.weight"
            value = value[inputs] if dense or depthwise else value[: edge.c_out]
            found[f"{place}.{layer}"] = value if depthwise or value.ndim == 1 else value[:, inputs]
    return found


def check_decoded(choices: Choices, chosen: Sequence[int], relaxation: str = "softmax") -> Genotype:
    torch.manual_seed(1)
    supernet = Supernet(choices).double()
    for cell in supernet.network.deformations:  # large motions, so that nothing hides
        torch.nn.init.normal_(cell.head.weight, std=0.2)
        torch.nn.init.normal_(cell.head.bias, std=0.3)
    genotype = choices.genotype(chosen)
    derived = genotype.build().double()
    derived.load_state_dict(copied_weights(supernet, genotype))
    pair = torch.rand(2, 1, 1, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gates = RELAXATIONS[relaxation](decided(choices, chosen), torch.Generator())
    whole, small = supernet(*pair, gates), derived(*pair)
    assert whole.displacement.abs().max() > 0.1
    torch.testing.assert_close(whole.displacement, small.displacement, rtol=0, atol=1e-10)
    return genotype


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("relaxation", ["softmax", "single-path"])
def test_decided_supernets_are_the_decoded_networks(seed: int, relaxation: str) -> None:
    choices = Choices(BASE, PRIMITIVES, EVERYTHING)
    check_decoded(choices, random_choice(choices, seed), relaxation)


@pytest.mark.parametrize(
    "changes",
    [
        {"downsampling": "strided"},
        {"composition": "legacy"},
        {"composition": "sum"},
        {"refine": True},
        {"match": "cost"},
        {"match": "concat+force"},
        {"passes": (2, 1, 3)},
    ],
    ids=str,
)
def test_other_architectures_too(changes: dict) -> None:
    values = {name: getattr(BASE, name) for name in BASE.__dataclass_fields__} | changes
    choices = Choices(Architecture(**values), PRIMITIVES, Topology(("decoded", "finer"), 2, (0.5, 1.0)))
    for seed in range(3):
        check_decoded(choices, random_choice(choices, seed))


@pytest.mark.parametrize("cell", [Cell(CELLS["chain"].edges, Residual), Cell(two_branches, Sum)])
def test_cells_of_ones_own_too(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "own", cell)
    values = {name: getattr(BASE, name) for name in BASE.__dataclass_fields__} | {"cell": "own"}
    choices = Choices(Architecture(**values), PRIMITIVES, EVERYTHING)
    for seed in range(3):
        check_decoded(choices, random_choice(choices, seed))


def test_a_match_of_ones_own_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def join(fixed: Tensor, moving: Tensor) -> Tensor:
        return torch.cat([fixed, fixed * moving], dim=1)

    monkeypatch.setitem(VIEWS, "pair", View(join, lambda f, dims: 2 * f))
    monkeypatch.setitem(MATCHES, "pair", ("pair",))
    values = {name: getattr(BASE, name) for name in BASE.__dataclass_fields__} | {"match": "pair"}
    choices = Choices(Architecture(**values), PRIMITIVES, Topology(("decoded",), 2, (0.5, 1.0)))
    for seed in range(3):
        check_decoded(choices, random_choice(choices, seed))
    monkeypatch.setitem(VIEWS, "pair", View(lambda f, m: f * m.sum(1, keepdim=True) + m.mean(), lambda f, dims: f))
    with pytest.raises(SearchSpaceError, match="expected a match that treats channels alike: 'pair' gives 2 channels"):
        Choices(Architecture(**values), PRIMITIVES, Topology(widths=(0.5, 1.0)))


def test_smaller_choices_are_smaller_networks() -> None:
    choices = Choices(BASE, PRIMITIVES, EVERYTHING)
    full = [len(row.options) - 1 for row in choices.rows]
    largest = weight_count(choices.genotype(full).build())
    for row in range(len(choices.edges), len(choices.rows)):
        smaller = [*full[:row], 0, *full[row + 1 :]]
        assert weight_count(choices.genotype(smaller).build()) < largest


def test_every_choice_and_weight_gets_a_gradient() -> None:
    choices = Choices(BASE, PRIMITIVES, EVERYTHING)
    supernet = Supernet(choices).double()
    for cell in supernet.network.deformations:
        torch.nn.init.normal_(cell.head.weight, std=0.2)
    alpha = torch.where(torch.from_numpy(choices.there), 0.1, -torch.inf).double().requires_grad_()
    pair = torch.rand(2, 1, 1, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    supernet(*pair, RELAXATIONS["softmax"](alpha, torch.Generator())).displacement.square().sum().backward()
    assert alpha.grad is not None and torch.isfinite(alpha.grad).all()
    assert torch.equal(alpha.grad != 0, torch.from_numpy(choices.there))
    assert [name for name, p in supernet.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_gradient_of_structural_choices_is_the_numerical_one() -> None:
    choices = Choices(BASE, PRIMITIVES[:2], Topology(("decoded",), 2, (0.5, 1.0)))
    supernet = Supernet(choices).double()
    pair = torch.rand(2, 1, 1, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for cell in supernet.network.deformations:
        torch.nn.init.normal_(cell.head.weight, std=0.1)
    rows = len(choices.edges)
    alpha = torch.where(torch.from_numpy(choices.there), 0.2, -torch.inf).double()
    alpha[rows:, 0] -= 0.3

    def value(at: Tensor) -> Tensor:
        return supernet(*pair, RELAXATIONS["softmax"](at, torch.Generator())).displacement.square().sum()

    variable = alpha.clone().requires_grad_()
    (exact,) = torch.autograd.grad(value(variable), variable)
    for row in range(rows, len(choices.rows)):
        step = torch.zeros_like(alpha)
        step[row, 1] = 1e-6
        with torch.no_grad():
            numerical = (value(alpha + step) - value(alpha - step)) / 2e-6
        assert float(exact[row, 1]) == pytest.approx(float(numerical), rel=1e-4, abs=1e-9)


def test_no_structural_choices_leave_nothing_behind() -> None:
    choices = Choices(BASE, PRIMITIVES, EVERYTHING)
    supernet = Supernet(choices)
    pair = torch.rand(2, 1, 1, 16, 24)
    supernet(*pair, RELAXATIONS["softmax"](decided(choices, random_choice(choices, 0)), torch.Generator()))
    left = [cell.seen for cell in supernet.network.deformations] + [op.width for op in supernet._mixed.values()]
    assert set(left) == {None}


def test_first_channels_by_hand() -> None:
    shares = torch.tensor([0.2, 0.3, 0.5])
    torch.testing.assert_close(first_channels(shares, [1, 2, 4]), torch.tensor([1.0, 0.8, 0.5, 0.5]))
    torch.testing.assert_close(first_channels(shares, [2, 2, 3]), torch.tensor([1.0, 1.0, 0.5]))


def test_choices_survive_plain_values() -> None:
    from autoreg.networks import choices_from_dict

    choices = Choices(BASE, PRIMITIVES, EVERYTHING)
    again = choices_from_dict(choices.to_dict())
    assert again == choices and again.rows == choices.rows
    names = [row.name for row in choices.structure]
    assert names[:4] == [f"connection.1.{n}" for n in ("moving", "displacement", "decoded", "cost")]
    assert not {"connection.3.displacement", "connection.3.decoded"} & set(names)


def test_the_usual_choice_is_the_stated_architecture() -> None:
    choices = Choices(BASE, ("conv1", "conv3"), EVERYTHING)
    usual = choices.genotype(choices.usual())
    assert usual == Genotype.uniform(BASE, "conv3")


def test_decoded_structure_reads_well() -> None:
    choices = Choices(BASE, PRIMITIVES, EVERYTHING)
    options = {row.name: row.options[-1] for row in choices.rows} | {
        "levels": "2",
        "width.deformation.1": "50",
        "connection.1.moving": "skip",
    }
    chosen = [row.options.index(options[row.name]) for row in choices.rows]
    found = choices.genotype(chosen).to_dict()["architecture"]
    assert found["feature_channels"] == [4, 5]
    assert found["deformation_channels"] == [[4, 2], [7, 4]]
    assert found["inputs"] == [
        ["fixed", "displacement", "decoded", "cost", "finer"],
        ["moving", "fixed", "cost", "finer"],
    ]
    assert Genotype.from_dict(choices.genotype(chosen).to_dict()) == choices.genotype(chosen)


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        (
            {"connections": ("costs",)},
            "topology.connections: expected some of moving, fixed, cost, force, displacement",
        ),
        ({"connections": ("cost", "cost")}, "each once"),
        ({"connections": ("moving", "fixed")}, "expected an input that always stays, of moving, fixed"),
        ({"min_levels": 4}, "topology.min_levels: expected 1 to 3, got 4"),
        ({"min_levels": 0}, "topology.min_levels: expected 1 to 3, got 0"),
        ({"widths": (0.5, 0.75)}, "topology.widths: expected rising fractions of which the last is 1"),
        ({"widths": (1.0, 0.5)}, "rising fractions"),
        ({"widths": (1.0,)}, "rising fractions"),
        ({"widths": (0.0, 1.0)}, "rising fractions"),
    ],
)
def test_wrong_topologies_are_named(topology: dict, message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        Choices(BASE, PRIMITIVES, Topology(**topology))
