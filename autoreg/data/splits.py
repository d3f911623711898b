"""Who trains the weights, who steers architecture and loss weights, who chooses the model, who tests it.

What is fitted on one role must be judged on another, so roles share no person. Few people force some
roles together; then architecture and selection share first, as both only choose among models.
"""

from dataclasses import dataclass

import numpy as np

from autoreg.data.dataset import Dataset
from autoreg.errors import DataError

ROLES = ("weights", "architecture", "loss_weights", "selection")
_SHARE = 0.15
_PAIR = 2  # people needed to make a pair

# Groups of roles that share their people, from strict to lax, each in the order of choosing: loss weights
# cannot do without labels, selection is better with them, and the last group takes who is left.
_BESIDE_VAL = (
    (("loss_weights",), ("architecture",), ("weights",)),
    (("loss_weights",), ("weights",)),  # architecture joins the val list
    (("weights", "loss_weights"),),
)
_WITHOUT_VAL = (
    (("loss_weights",), ("selection",), ("architecture",), ("weights",)),
    (("loss_weights",), ("architecture", "selection"), ("weights",)),
    (("loss_weights",), ("weights", "architecture", "selection")),
    (("weights", "architecture", "loss_weights", "selection"),),
)


@dataclass(frozen=True)
class Roles:
    """Subject ids of each role, sorted; `notes` says what had to be shared."""

    weights: tuple[str, ...]
    architecture: tuple[str, ...]
    loss_weights: tuple[str, ...]
    selection: tuple[str, ...]
    test: tuple[str, ...]
    notes: tuple[str, ...]


def split_roles(dataset: Dataset, *, seed: int) -> Roles:
    """Roles as dataset.json gives them, else drawn: the same for the same ids and seed.

    Test is the test list and selection the val list. The train list is dealt out person by person: about
    15 percent each (two people at least) to architecture and loss weights, and to selection where there is no val
    list; the rest trains the weights. Loss weights get people with label maps.

    Raises:
        DataError: if there are fewer than two people to train on or to take labels from, or if roles that
            dataset.json gives are incomplete or overlap.
    """
    return _given_roles(dataset) if dataset.roles else _drawn_roles(dataset, seed)


def _given_roles(dataset: Dataset) -> Roles:
    roles = {"test": dataset.test, **dataset.roles}
    if set(roles) != {*ROLES, "test"}:
        raise DataError(f"{dataset.path}: roles: expected {', '.join(ROLES)}, got {', '.join(sorted(dataset.roles))}")
    owner: dict[str, str] = {}
    for role, subjects in roles.items():
        for subject in subjects:
            if not dataset.scans(subject):
                raise DataError(f"{dataset.path}: roles.{role}: expected ids of this dataset, got {subject}")
            other = owner.setdefault(dataset.people[subject], role)
            if other != role:
                got = f"{subject} ({other})"
                raise DataError(f"{dataset.path}: roles.{role}: expected people of no other role, got {got}")
        if role != "test" and len({dataset.people[subject] for subject in subjects}) < _PAIR:
            raise DataError(f"{dataset.path}: roles.{role}: expected at least {_PAIR} people, got {len(subjects)}")
    unlabelled = [subject for subject in roles["loss_weights"] if not dataset.labelled(subject)]
    if unlabelled:
        raise DataError(f"{dataset.path}: roles.loss_weights: expected labelled subjects, got {unlabelled[0]}")
    return Roles(**{role: tuple(sorted(subjects)) for role, subjects in roles.items()}, notes=())


def _drawn_roles(dataset: Dataset, seed: int) -> Roles:
    pool, selection, notes = _pool(dataset)
    people = _groups(dataset, pool)
    order = [sorted(people)[index] for index in np.random.default_rng(seed).permutation(len(people))]
    ladder = _BESIDE_VAL if selection else _WITHOUT_VAL
    sharing = next((groups for groups in ladder if len(order) >= _PAIR * len(groups)), None)
    if sharing is None:
        needed = f"at least {_PAIR} people to train on ({_PAIR * len(ladder[0])} for roles that share nobody)"
        raise DataError(f"{dataset.path}: train: expected {needed}, got {len(order)}")
    labelled = {person for person in order if any(dataset.labelled(subject) for subject in people[person])}
    if len(labelled) < _PAIR:
        needed = f"at least {_PAIR} people with label maps, for the loss weights"
        raise DataError(f"{dataset.path}: train: expected {needed}, got {len(labelled)}")
    dealt = _deal(order, labelled, sharing)
    roles = {role: tuple(sorted(s for person in chosen for s in people[person])) for role, chosen in dealt.items()}
    if selection:
        roles["selection"] = tuple(sorted(selection))
        roles.setdefault("architecture", roles["selection"])
    roles["loss_weights"] = tuple(subject for subject in roles["loss_weights"] if dataset.labelled(subject))
    return Roles(**roles, test=tuple(sorted(dataset.test)), notes=(*notes, *_sharing_notes(roles, len(order))))


def _pool(dataset: Dataset) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Subjects to deal out, the selection role if there is one already, and a note if val was too small."""
    if len(_groups(dataset, dataset.val)) >= _PAIR:
        return dataset.train, dataset.val, ()
    note = "the val list holds one person, which makes no pair: dealt out with the train list"
    return dataset.train + dataset.val, (), (note,) if dataset.val else ()


def _groups(dataset: Dataset, subjects: tuple[str, ...]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for subject in subjects:
        groups.setdefault(dataset.people[subject], []).append(subject)
    return groups


def _deal(order: list[str], labelled: set[str], sharing: tuple[tuple[str, ...], ...]) -> dict[str, list[str]]:
    """People by role: each group but the last takes its share, from those with label maps first."""
    left = sorted(order, key=lambda person: person not in labelled)  # stable: `order` otherwise
    size = max(_PAIR, round(_SHARE * len(order)))
    dealt: dict[str, list[str]] = {}
    for group in sharing[:-1]:
        chosen = [person for person in left if person in labelled or group != ("loss_weights",)][:size]
        left = [person for person in left if person not in chosen]
        dealt |= dict.fromkeys(group, chosen)
    return dealt | dict.fromkeys(sharing[-1], left)


def _sharing_notes(roles: dict[str, tuple[str, ...]], people: int) -> list[str]:
    """A line for each set of roles that share people."""
    together: list[list[str]] = []
    for role in ROLES:
        group = next((group for group in together if set(roles[role]) & set(roles[group[0]])), None)
        if group is None:
            together.append([role])
        else:
            group.append(role)
    return [f"{', '.join(g)} share subjects: train has only {people} people" for g in together if len(g) > 1]
