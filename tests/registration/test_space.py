"""Search spaces: every shipped file loads, and mistakes are named with the nearest word."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from autoreg.errors import SearchSpaceError
from autoreg.networks import Supernet
from autoreg.registration.space import SearchSpace
from autoreg.trilevel import LossWeights

FILES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
TERM = {"name": "lncc", "kind": "lncc", "reference": True}


def space(**changes: Any) -> dict[str, Any]:
    return {"name": "mine", "primitives": ["conv1", "conv3"], "terms": [TERM], **changes}


def with_term(**changes: Any) -> dict[str, Any]:
    return space(terms=[TERM, {"name": "rough", "kind": "diffusion", **changes}])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.parametrize("dims", [2, 3])
def test_shipped_spaces(path: Path, dims: int) -> None:
    loaded = SearchSpace.from_dict(yaml.safe_load(path.read_text()), dims=dims)
    assert loaded.name == path.stem and loaded.architecture.dims == dims
    weights = LossWeights([term.weight_range for term in loaded.terms])
    assert list(weights.named()) == [term.name for term in loaded.terms]
    assert Supernet(loaded.choices).multiple == loaded.architecture.multiple
    assert loaded.choices.genotype(loaded.choices.usual()).architecture == loaded.architecture


def test_there_are_shipped_spaces() -> None:
    assert {"paper", "tiny"} <= {path.stem for path in FILES}


def test_the_paper_space_has_its_size() -> None:
    paper = SearchSpace.from_dict(yaml.safe_load((FILES[0].parent / "paper.yaml").read_text()))
    assert len(paper.primitives) ** len(paper.architecture.edges()) == 8**12


def test_what_is_left_out_has_a_default() -> None:
    loaded = SearchSpace.from_dict(space())
    assert loaded.learning_rate == (1e-4, 2e-3) and loaded.architecture.dims == 3
    assert SearchSpace.from_dict(space(learning_rate=[0.1, 1])).learning_rate == (0.1, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (space(primitivs=["conv1"]), "search space mine: unknown key 'primitivs' .did you mean 'primitives'"),
        (space(primitives=["conv1", "cnv3"]), "unknown primitive 'cnv3' .did you mean 'conv3'"),
        (space(primitives=["conv1"]), "primitives: expected at least 2"),
        (space(primitives=None), "primitives: expected at least 2"),
        (space(architecture={"refin": True}), "unknown key 'refin' .did you mean 'refine'"),
        (space(architecture=None), "architecture: expected keys and values"),
        (space(primitives=True), "primitives: expected a list of names, got True"),
        (space(terms=[]), "terms: expected a list of terms"),
        (space(terms=["lncc"]), "terms: expected keys and values, got 'lncc'"),
        (space(terms=[{**TERM, "reference": False}]), "expected one with reference: true"),
        (space(terms=[TERM, TERM]), "names must differ"),
        (space(learning_rate=[1e-3, 1e-4]), "learning_rate: expected .low, high."),
        (space(learning_rate=1e-3), "learning_rate: expected .low, high."),
        (space(learning_rate=["1e-4", "1e-3"]), "learning_rate: expected .low, high."),
        (with_term(kind="difusion"), "terms.rough.kind: unknown 'difusion' .did you mean 'diffusion'"),
        (with_term(strt=2.0), "terms: unknown key 'strt' .did you mean 'start'"),
        (with_term(start=2000.0), "terms.rough: expected 0 < low <= start <= high, got 0.001, 2000.0, 1000.0"),
        (with_term(start="1e-1"), "terms: .*not supported"),
        (with_term(window=5), "terms.rough.window: expected an odd number from 3 up, lncc only"),
        (with_term(level=3), "terms.rough.level: expected 0 to 2, got 3"),
        (space(terms=[{**TERM, "window": 4}]), "window: expected an odd number"),
        (space(terms=[{"kind": "lncc"}]), "terms: .*'name'"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        SearchSpace.from_dict(values)
