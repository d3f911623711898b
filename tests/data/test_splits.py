from pathlib import Path

import pytest

from autoreg.data.dataset import DEFAULTS, Dataset, load_dataset
from autoreg.data.entries import Entry
from autoreg.data.splits import ROLES, split_roles
from autoreg.errors import DataError


def make(train, val=0, *, unlabelled=(), people=None, roles=None, backwards=False):
    """A dataset of numbered subjects without files: t00, t01, ... v00, ... and two for testing."""
    ids = {
        "train": tuple(f"t{i:02d}" for i in range(train)),
        "val": tuple(f"v{i:02d}" for i in range(val)),
        "test": ("x0", "x1"),
    }
    subjects = [subject for members in ids.values() for subject in members]
    if backwards:
        subjects, ids["train"] = subjects[::-1], ids["train"][::-1]
    entries = {s: Entry(s, s, "0000", Path(s), None if s in unlabelled else Path(s)) for s in subjects}
    persons = {s: s for s in subjects} | (people or {})
    return Dataset(
        Path("dataset.json"), "n", entries, {}, **ids, people=persons, pair_lists={}, roles=roles or {}, config=DEFAULTS
    )


def sizes(roles):
    return tuple(len(getattr(roles, role)) for role in ROLES)


@pytest.mark.parametrize(
    ("train", "val", "expected", "shared"),
    [
        (140, 34, (98, 21, 21, 34), None),
        (20, 0, (11, 3, 3, 3), None),
        (6, 2, (2, 2, 2, 2), None),
        (8, 0, (2, 2, 2, 2), None),
        (5, 3, (3, 3, 2, 3), "architecture, selection share"),
        (7, 0, (3, 2, 2, 2), "architecture, selection share"),
        (5, 0, (3, 3, 2, 3), "weights, architecture, selection share"),
        (3, 2, (3, 2, 3, 2), "weights, loss_weights share"),
        (3, 0, (3, 3, 3, 3), "weights, architecture, loss_weights, selection share"),
        (7, 1, (2, 2, 2, 2), "val list holds one person"),
    ],
)
def test_sizes_and_what_is_shared(train, val, expected, shared):
    roles = split_roles(make(train, val), seed=0)
    assert sizes(roles) == expected
    assert bool(roles.notes) == bool(shared) and (shared or "") in " ".join(roles.notes)
    assert roles.test == ("x0", "x1")


def test_roles_are_disjoint_complete_and_seeded():
    dataset = make(20)
    roles = split_roles(dataset, seed=3)
    dealt = [subject for role in ROLES for subject in getattr(roles, role)]
    assert sorted(dealt) == sorted(dataset.train)
    assert split_roles(make(20, backwards=True), seed=3) == roles
    assert split_roles(dataset, seed=4) != roles


@pytest.mark.parametrize("seed", range(5))
def test_scans_of_one_person_stay_together(seed):
    people = {f"t{i:02d}": f"p{i // 2}" for i in range(16)}
    dataset = make(16, people=people)
    roles = split_roles(dataset, seed=seed)
    owners = [{people[s] for s in getattr(roles, role)} for role in ROLES]
    assert [len(owner) for owner in owners] == [2, 2, 2, 2]
    assert len(set.union(*owners)) == 8


@pytest.mark.parametrize("seed", range(5))
def test_loss_weights_get_the_labelled(seed):
    unlabelled = {f"t{i:02d}" for i in range(18)}
    roles = split_roles(make(20, 4, unlabelled=unlabelled), seed=seed)
    assert roles.loss_weights == ("t18", "t19")
    assert sizes(roles) == (15, 3, 2, 4)  # nobody is lost to a role that cannot use them


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (make(1), r"train: expected at least 2 people to train on \(8 for roles that share nobody\), got 1"),
        (make(1, 2), r"train: expected at least 2 people to train on \(6 for roles that share nobody\), got 1"),
        (make(0), "train: expected at least 2 people .* got 0"),
        (make(4, people={"t00": "p", "t01": "p", "t02": "p", "t03": "p"}), "got 1"),
        (make(8, unlabelled=[f"t{i:02d}" for i in range(7)]), "at least 2 people with label maps, .* got 1"),
    ],
)
def test_impossible_splits_say_what_is_needed(dataset, message):
    with pytest.raises(DataError, match=f"dataset.json: {message}" if message.startswith("train") else message):
        split_roles(dataset, seed=0)


GIVEN = {
    "weights": ("t01", "t00"),
    "architecture": ("t02", "t03"),
    "loss_weights": ("t04", "t05"),
    "selection": ("t06", "t07"),
}


def test_given_roles_win():
    roles = split_roles(make(9, roles=GIVEN), seed=0)
    assert (roles.weights, roles.selection, roles.test) == (("t00", "t01"), ("t06", "t07"), ("x0", "x1"))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"selection": ("t00", "t06")}, {}, r"roles.selection: expected people of no other role, got t00 \(weights\)"),
        ({"selection": ("x0", "t06")}, {}, r"roles.selection: .* got x0 \(test\)"),
        ({}, {"people": {"t00": "p", "t07": "p"}}, "roles.selection: expected people of no other role"),
        ({"weights": ("t00", "z")}, {}, "roles.weights: expected ids of this dataset, got z"),
        ({"weights": ("t00",)}, {}, "roles.weights: expected at least 2 people, got 1"),
        ({"alpha": ("t08",)}, {}, "roles: expected weights, architecture, loss_weights, selection, got alpha"),
        ({}, {"unlabelled": ("t05",)}, "roles.loss_weights: expected labelled subjects, got t05"),
    ],
)
def test_given_roles_are_checked(change, options, message):
    with pytest.raises(DataError, match=message):
        split_roles(make(9, roles=GIVEN | change, **options), seed=0)


def test_given_roles_are_read_from_the_file(write_dataset):
    ids = [f"s{i}" for i in range(10)]
    roles = {role: ids[2 * i : 2 * i + 2] for i, role in enumerate(ROLES)}
    path = write_dataset(ids, train=ids[:8], test=ids[8:], roles=roles)
    split = split_roles(load_dataset(path), seed=9)
    assert {role: list(getattr(split, role)) for role in ROLES} == roles
