"""The score, and the rows it is made of."""

import numpy as np
import pytest
import torch
from problems import volume
from torch import nn

from autoreg.data.volume import Volume
from autoreg.networks import Registration, build_network
from autoreg.registration.score import ScoreConfig, register_pair, score_pair, summarise, warp_labels

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("dice", "folds", "score"), [(0.8, 0.0, 0.8), (0.8, 0.3, 0.8), (0.8, 0.5, 0.6), (0.9, 2.3, -1.1)]
)
def test_folds_above_the_bound_cost_dice(dice: float, folds: float, score: float) -> None:
    assert ScoreConfig().score(dice, folds) == pytest.approx(score)


def test_a_bound_on_sdlogj_is_one_when_it_is_given() -> None:
    assert ScoreConfig().score(0.8, 0.0, 5.0) == 0.8
    bounded = ScoreConfig(max_sdlogj=0.5)
    assert bounded.score(0.8, 0.0, 0.5) == 0.8
    assert bounded.score(0.8, 0.0, 0.75) == pytest.approx(0.3)
    assert bounded.bounds == {"folds_percent": 0.3, "sdlogj": 0.5}
    with pytest.raises(ValueError, match=r"score\.max_sdlogj"):
        ScoreConfig(max_sdlogj=0.0)


@pytest.mark.parametrize("bound", [0.0, -1.0, 101.0])
def test_wrong_bounds(bound: float) -> None:
    with pytest.raises(ValueError, match=r"score\.max_folds_percent"):
        ScoreConfig(max_folds_percent=bound)


@pytest.mark.parametrize("space", [(7, 9), (7, 9, 10)])
def test_a_registered_pair_has_the_grid_of_the_scan(space: tuple[int, ...]) -> None:
    class Positions(nn.Module):
        """Answers with the first padded position along each axis, so that cropping is seen."""

        multiple = 4

        def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> Registration:
            axes = torch.meshgrid(*[torch.arange(float(n)) for n in fixed.shape[2:]], indexing="ij")
            return Registration(torch.stack(axes).unsqueeze(0), ())

    volumes = {"a": volume("a", space, seed=0), "b": volume("b", space, seed=1)}
    found = register_pair(Positions(), volumes, ("a", "b"), device=CPU)
    assert found.shape == (1, len(space), *space)
    first = found[0].flatten(1)[:, 0].tolist()  # 7 is padded by 0 and 1, 9 by 1 and 2, 10 by 1 and 1
    assert first == [0.0, 1.0, 1.0][: len(space)]


def test_register_pair_uses_no_gradients() -> None:
    volumes = {"a": volume("a", (20, 20), seed=0), "b": volume("b", (20, 20), seed=1)}
    network = build_network({"name": "voxelmorph", "architecture": {"dims": 2}})
    assert not register_pair(network, volumes, ("a", "b"), device=CPU).requires_grad


def squares(*spans: tuple[int, int]) -> Volume:
    """Label i + 1 fills the rows of span i of a 10 x 10 scan."""
    labels = np.zeros((10, 10), np.int16)
    for number, (start, stop) in enumerate(spans, start=1):
        labels[start:stop] = number
    return Volume("s", np.zeros((10, 10), np.float32), np.ones((10, 10), np.uint8), labels, np.eye(4))


def test_rows_after_a_known_shift() -> None:
    volumes = {"f": squares((0, 4), (6, 8)), "m": squares((1, 5), (6, 8))}
    shift = torch.zeros(1, 2, 10, 10)
    shift[:, 0] = 1.0
    assert (warp_labels(volumes["m"].labels, shift)[:9] == volumes["m"].labels[1:]).all()
    assert not warp_labels(volumes["m"].labels, shift)[9].any()
    row = score_pair(shift, volumes, ("f", "m"), [1, 2, 3])
    assert row["dice"][:2] == [1.0, 0.5] and np.isnan(row["dice"][2])
    assert (row["fixed"], row["moving"], row["folds_percent"], row["sdlogj"]) == ("f", "m", 0.0, 0.0)


def test_pairs_without_labels_have_no_dice() -> None:
    volumes = {"f": squares((0, 4)), "bare": volume("bare", (10, 10), seed=0, labelled=False)}
    row = score_pair(torch.zeros(1, 2, 10, 10), volumes, ("f", "bare"), [1])
    assert np.isnan(row["dice"]).all()
    assert np.isnan(summarise([row], ScoreConfig())["val_dice"])


def test_summary_averages_labels_then_pairs() -> None:
    rows = [
        {"dice": [1.0, 0.5, np.nan], "folds_percent": 0.2, "sdlogj": 0.1},
        {"dice": [0.25, np.nan, np.nan], "folds_percent": 1.0, "sdlogj": 0.3},
        {"dice": [np.nan] * 3, "folds_percent": 0.0, "sdlogj": 0.2},
    ]
    expected = {"val_dice": 0.5, "folds_percent": 0.4, "sdlogj": 0.2, "score": 0.5 - 0.1}
    assert summarise(rows, ScoreConfig()) == pytest.approx(expected)
