"""The genotypes that were published."""

import pytest

from autoreg.config import load_space
from autoreg.networks import Genotype, weight_count
from autoreg.networks.published import autoreg_abide, autoreg_ppmi


@pytest.mark.parametrize("make", [autoreg_abide, autoreg_ppmi])
def test_they_are_networks_of_the_paper_space(make) -> None:
    space = load_space("paper", dims=3)
    genotype = make(3)
    assert genotype.architecture == space.architecture
    outside = {edge for edge, primitive in genotype.edges.items() if primitive not in space.primitives}
    assert outside == {"feature.2.1", "feature.2.2"}
    assert {genotype.edges[edge] for edge in outside} == {"dil3x8"}
    assert Genotype.from_dict(genotype.to_dict()) == genotype


def test_weights_of_the_deformation_cell_found_on_ppmi() -> None:
    """By hand: sep3 51 -> 48, conv5 48 -> 32, conv3 32 -> 16; dil7 64 -> 48 -> 32, sep5 32 -> 16; and two heads."""
    half = 51 * 51 * 27 + 51 * 27 + 51 * 48 + 48 * 32 * 125 + 32 * 16 * 27
    quarter = 64 * 48 * 343 + 48 + 48 * 32 * 343 + 32 + 32 * 32 * 125 + 32 * 125 + 32 * 16
    assert weight_count(autoreg_ppmi(3).build().deformations) == half + quarter + 2 * (16 * 3 * 27 + 3)
