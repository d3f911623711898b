from collections import Counter

import pytest

from autoreg.data.dataset import DataConfig, load_dataset
from autoreg.data.pairs import PairSampler, all_pairs
from autoreg.errors import DataError

IDS = [f"s{i}" for i in range(7)]


@pytest.fixture
def dataset(write_dataset):
    return load_dataset(write_dataset(IDS, train=IDS, same_subject_rescans=[["s0", "s1"], ["s2", "s3"]]))


def stream(sampler, steps, size):
    return [pair for step in range(steps) for pair in sampler.batch(step, size)]


def test_stream_depends_on_seed_and_index_alone(dataset):
    pairs = stream(PairSampler(dataset, IDS, seed=5), 12, 2)
    assert stream(PairSampler(dataset, IDS[::-1], seed=5), 6, 4) == pairs
    assert stream(PairSampler(dataset, IDS, seed=5), 3, 8) == pairs
    assert PairSampler(dataset, IDS, seed=5).batch(7, 3) == pairs[21:24]
    assert stream(PairSampler(dataset, IDS, seed=6), 12, 2) != pairs


def test_everyone_is_fixed_once_an_epoch_and_epochs_differ(dataset):
    sampler = PairSampler(dataset, IDS, seed=0)
    epochs = [[sampler.pair(epoch * 7 + i) for i in range(7)] for epoch in range(4)]
    assert all(sorted(fixed for fixed, _ in epoch) == IDS for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_nobody_meets_herself_and_everyone_moves(dataset):
    sampler = PairSampler(dataset, IDS, seed=1)
    pairs = [sampler.pair(i) for i in range(700)]
    assert all(dataset.people[fixed] != dataset.people[moving] for fixed, moving in pairs)
    moved = Counter(moving for _, moving in pairs)
    assert set(moved) == set(IDS) and max(moved.values()) < 2 * min(moved.values())
    assert set(pairs) == set(all_pairs(dataset, IDS))


def test_all_pairs_are_ordered_and_of_different_people(dataset):
    assert all_pairs(dataset, ["s1", "s0", "s2"]) == [("s0", "s2"), ("s1", "s2"), ("s2", "s0"), ("s2", "s1")]


def test_modalities_come_from_the_call_or_the_settings(write_dataset):
    path = write_dataset(["a_0000", "a_0001", "b_0000", "b_0001"], train=["a", "b"])
    settled = load_dataset(path, DataConfig(fixed_modality="0001", moving_modality="0001"))
    assert set(PairSampler(settled, "ab", seed=0).batch(0, 2)) == {("a_0001", "b_0001"), ("b_0001", "a_0001")}
    given = PairSampler(settled, "ab", seed=0, fixed_modality="0000", moving_modality="0001")
    assert set(given.batch(0, 2)) == {("a_0000", "b_0001"), ("b_0000", "a_0001")}
    assert all_pairs(settled, "ab", fixed_modality="0000")[0] == ("a_0000", "b_0001")
    with pytest.raises(DataError, match="modality of a: expected one of 0000, 0001"):
        PairSampler(load_dataset(path), "ab", seed=0)


@pytest.mark.parametrize("subjects", [[], ["s0"], ["s0", "s1"]])
def test_one_person_makes_no_pair(dataset, subjects):
    with pytest.raises(DataError, match="expected two people or more"):
        PairSampler(dataset, subjects, seed=0)
