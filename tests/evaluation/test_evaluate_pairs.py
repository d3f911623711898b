"""The table of a model's pairs: two blocks two voxels apart, whose overlap is known by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from autoreg.data.landmarks import PairLandmarks
from autoreg.data.synthetic import make_subject
from autoreg.data.volume import Volume
from autoreg.errors import DataError
from autoreg.evaluation.pairs import UNLABELLED, evaluate_pairs, summary, warn_where_worse
from autoreg.networks import Registration
from autoreg.registration.model import Model

CPU = torch.device("cpu")
NUMBERS = [1, 2]


class Shift(nn.Module):
    """Moves everything by the same voxels."""

    multiple = 4

    def __init__(self, *voxels: float) -> None:
        super().__init__()
        self.voxels = torch.tensor(voxels)

    def forward(self, fixed: Tensor, moving: Tensor) -> Registration:
        field = self.voxels.view(1, -1, *[1] * (fixed.ndim - 2)).expand(-1, -1, *fixed.shape[2:])
        return Registration(field, ())


def block(key: str, start: int, *, spacing: float = 1.5, labelled: bool = True, dims: int = 3) -> Volume:
    """Label 1 fills eight voxels along every axis, from `start` along the first; label 2 is nowhere."""
    labels = np.zeros((22, 20, 18)[:dims], dtype=np.int16)
    labels[(slice(start, start + 8), *[slice(5, 13)] * (dims - 1))] = 1
    image, foreground = labels.astype(np.float32), np.ones(labels.shape, dtype=np.uint8)
    return Volume(key, image, foreground, labels if labelled else None, np.diag([spacing] * 3 + [1.0]))


def evaluated(shift: tuple[float, ...], *volumes: Volume, **options: object) -> pd.DataFrame:
    model = Model(Shift(*shift), {})
    pair = [(volumes[0].key, volumes[1].key)]
    by_key = {volume.key: volume for volume in volumes}
    return evaluate_pairs(model, by_key, pair, label_numbers=NUMBERS, device=CPU, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("shift", "dice", "hd95"), [(2.0, 1.0, 0.0), (0.0, 0.75, 3.0), (1.0, 0.875, 1.5)])
def test_overlap_of_blocks_two_voxels_apart(dims: int, shift: float, dice: float, hd95: float) -> None:
    frame = evaluated((shift, *[0.0] * (dims - 1)), block("a", 5, dims=dims), block("b", 7, dims=dims))
    first, absent = frame.to_dict("records")
    assert (first["fixed"], first["moving"], first["label"]) == ("a", "b", 1)
    assert [first["dice"], first["hd95_mm"]] == pytest.approx([dice, hd95])
    assert [first["initial_dice"], first["initial_hd95_mm"]] == pytest.approx([0.75, 3.0])
    assert [first[c] for c in ("folds_percent", "folds_percent_central", "sdlogj", "sdlogj_learn2reg")] == [0] * 4
    assert absent["label"] == 2 and math.isnan(absent["dice"]) and absent["seconds"] == first["seconds"] > 0


def test_a_phantom_registered_with_itself_is_perfect() -> None:
    (image,), labels = make_subject(0, modalities=["t1"], shape=(32, 32, 32), seed=0)
    volume = Volume("p", image / np.float32(255), (image > 0).astype(np.uint8), labels.astype(np.int16), np.eye(4))
    frame = evaluated((0.0, 0.0, 0.0), volume, volume)
    assert frame["dice"].tolist() == frame["initial_dice"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("sides", [(False, True), (True, False), (False, False)])
def test_a_pair_without_labels_is_one_row_in_the_same_table(sides: tuple[bool, bool]) -> None:
    frame = evaluated((0.0, 0.0, 0.0), *[block(k, 5, labelled=on) for k, on in zip("ab", sides, strict=True)])
    assert frame["label"].tolist() == [UNLABELLED] and frame["dice"].isna().all() and frame["folds_percent"].item() == 0
    labelled = evaluated((0.0, 0.0, 0.0), block("a", 5), block("b", 7))
    assert frame.dtypes.equals(labelled.dtypes)


def test_landmarks_give_their_mean_error_in_mm() -> None:
    fixed, moving = 1.5 * np.array([[5.0, 5, 5], [9, 9, 9]]), 1.5 * np.array([[7.0, 5, 5], [9, 9, 9]])
    points = PairLandmarks({("a", "b"): (fixed, moving)})
    frame = evaluated((2.0, 0.0, 0.0), block("a", 5), block("b", 7), points=points)
    assert frame["tre_mm"].tolist() == pytest.approx([1.5, 1.5])  # one spot exact, the other two voxels off
    assert frame["initial_tre_mm"].tolist() == pytest.approx([1.5, 1.5])  # the other way round
    frame = evaluated((2.0, 0.0, 0.0), block("a", 5), block("b", 7), points=PairLandmarks({}))
    assert frame["tre_mm"].isna().all()


def test_progress_counts_pairs() -> None:
    seen: list[tuple[int, int]] = []
    volumes = {"a": block("a", 5), "b": block("b", 7)}
    evaluate_pairs(
        Model(Shift(0.0, 0.0, 0.0), {}), volumes, [("a", "b"), ("b", "a")], label_numbers=NUMBERS, device=CPU,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(1, 2), (2, 2)]


def test_volumes_of_two_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="differ in shape"):
        evaluated((0.0, 0.0), block("a", 5), block("b", 5, dims=2))


def test_summary_averages_labels_then_pairs() -> None:
    nan = math.nan
    rows = [  # pair, label, dice, hd95, initial, and the figures of the pair
        ("a", "b", 1, 0.9, 1.0, 0.5, 0.2, 0.1, 0.3, 0.03, 9.0),
        ("a", "b", 2, 0.7, 3.0, 0.3, 0.2, 0.1, 0.3, 0.03, 9.0),
        ("a", "c", 1, 0.6, 4.0, nan, 0.4, 0.3, 0.5, 0.05, 1.0),
        ("a", "c", 2, nan, nan, nan, 0.4, 0.3, 0.5, 0.05, 1.0),
        ("b", "c", 0, nan, nan, nan, 0.6, 0.2, 0.1, 0.01, 2.0),
    ]
    names = ["fixed", "moving", "label", "dice", "hd95_mm", "initial_dice", "folds_percent", "folds_percent_central"]
    figures = summary(pd.DataFrame(rows, columns=[*names, "sdlogj", "sdlogj_learn2reg", "seconds"]))
    assert figures == pytest.approx(
        {
            "test_dice": 0.7, "test_dice_sd": math.sqrt(0.02), "initial_dice": 0.4, "hd95_mm": 3.0,
            "folds_percent": 0.4, "folds_percent_central": 0.2, "sdlogj": 0.3, "sdlogj_learn2reg": 0.03,
            "seconds_a_pair": 2.0, "pairs": 3,
        }
    )  # fmt: skip


@pytest.mark.parametrize(("shift", "said"), [(-2.0, "lowers Dice on these pairs, from 0.750 to 0.500"), (2.0, "")])
def test_says_where_a_model_is_worse_than_none(shift: float, said: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_where_worse(summary(evaluated((shift, 0.0, 0.0), block("a", 5), block("b", 7))))
    assert said in caplog.text
    assert bool(said) == bool(caplog.records)


def test_says_where_a_model_moves_landmarks_apart(caplog: pytest.LogCaptureFixture) -> None:
    unlabelled = {"test_dice": math.nan, "initial_dice": math.nan}
    warn_where_worse({**unlabelled, "tre_mm": 2.5, "initial_tre_mm": 2.0})
    assert "from 2.00 to 2.50 mm" in caplog.text
    caplog.clear()
    warn_where_worse({**unlabelled, "tre_mm": math.nan, "initial_tre_mm": math.nan})
    assert not caplog.records
