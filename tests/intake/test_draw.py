from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.intake.draw import check_fractions, draw_splits

SHARES = (0.7, 0.15, 0.15)


def crowd(labelled: int, others: int = 0) -> dict[str, bool]:
    return {f"p{i:03d}": i < labelled for i in range(labelled + others)}


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 3))
def test_everyone_is_in_one_split_and_splits_can_make_pairs(labelled: int, others: int, seed: int) -> None:
    people = crowd(labelled, others)
    splits, _ = draw_splits(people, SHARES, seed)
    assert sorted(chain(*splits.values())) == sorted(people)
    assert len(splits["val"]) != 1 and len(splits["test"]) != 1
    assert len(splits["train"]) >= min(2, len(people))
    assert (splits, []) == (draw_splits(people, SHARES, seed)[0], [])


def test_sizes() -> None:
    splits, notes = draw_splits(crowd(100), SHARES, 0)
    assert {split: len(chosen) for split, chosen in splits.items()} == {"train": 70, "val": 15, "test": 15}
    assert not notes and draw_splits(crowd(100), SHARES, 1)[0] != splits


def test_few_people_leave_val_empty_first() -> None:
    splits, notes = draw_splits(crowd(5), SHARES, 0)
    assert (len(splits["train"]), splits["val"], len(splits["test"])) == (3, [], 2)
    assert notes == ["val is empty: 5 people are too few for it"]
    splits, notes = draw_splits(crowd(3), SHARES, 0)
    assert len(splits["train"]) == 3 and len(notes) == 2


def test_labelled_people_judge_and_some_stay_to_train() -> None:
    people = crowd(9, 91)
    splits, _ = draw_splits(people, SHARES, 0)
    assert all(people[p] for split in ("val", "test") for p in splits[split])
    assert sum(people[p] for p in splits["train"]) == 3


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5)])
def test_shares_that_are_none(fractions: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="--split: expected three shares"):
        check_fractions(fractions)
