"""Pairs as tensors: padding, cropping back, and labels of some pairs only."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import volume

from autoreg.errors import DataError
from autoreg.registration.batch import augmented, load_batch

CPU = torch.device("cpu")
VOLUMES = {
    "a": volume("a", (6, 9), seed=0),
    "b": volume("b", (6, 9), seed=1),
    "bare": volume("bare", (6, 9), seed=2, labelled=False),
    "wide": volume("wide", (6, 10), seed=3),
}


def test_padding_is_outside_and_crop_takes_it_away() -> None:
    batch = load_batch(VOLUMES, [("a", "b"), ("b", "a")], multiple=4, device=CPU)
    assert batch.fixed.image.shape == (2, 1, 8, 12) and batch.fixed.image.dtype == torch.float32
    assert torch.equal(batch.fixed.image[batch.crop][0, 0], torch.from_numpy(VOLUMES["a"].image))
    assert torch.equal(batch.moving.labels[batch.crop][0, 0], torch.from_numpy(VOLUMES["b"].labels))
    assert batch.fixed.foreground.sum() == 2 * 6 * 9


def test_read_only_arrays_are_copied() -> None:
    image = np.zeros((4, 4), np.float32)
    image.flags.writeable = False
    held = {"r": replace(VOLUMES["a"], image=image, foreground=np.ones((4, 4), np.uint8), labels=None)}
    batch = load_batch(held, [("r", "r")], multiple=4, device=CPU)
    batch.fixed.image.add_(1)
    assert batch.moving.image.max() == 0 and image.max() == 0


def test_labels_count_pair_by_pair() -> None:
    batch = load_batch(VOLUMES, [("a", "bare"), ("bare", "b"), ("a", "b")], multiple=1, device=CPU)
    assert batch.labelled
    for side, key in ((batch.fixed, "a"), (batch.moving, "b")):
        assert not side.labels[:2].any()  # one side without labels: the pair has none
        assert torch.equal(side.labels[2, 0], torch.from_numpy(VOLUMES[key].labels))
    bare = load_batch(VOLUMES, [("a", "bare")], multiple=1, device=CPU)
    assert not bare.labelled and bare.fixed.labels is None


@pytest.mark.parametrize("pairs", [[("a", "wide")], [("a", "b"), ("wide", "wide")]])
def test_shapes_must_agree(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(DataError, match=r"6, 9.*6, 10"):
        load_batch(VOLUMES, pairs, multiple=1, device=CPU)


def test_augmentation_moves_only_the_moving_side_and_agrees_between_shards():
    volumes = {key: volume(key, (8, 8, 8), seed=i) for i, key in enumerate("abcd")}
    pairs = [("a", "b"), ("c", "d")]
    options = {"multiple": 4, "device": torch.device("cpu")}
    both = load_batch(volumes, pairs, **options)
    moved = augmented(both, [5, 6])
    second = augmented(load_batch(volumes, pairs[1:], **options), [6])
    assert moved.fixed is both.fixed
    assert not torch.equal(moved.moving.image, both.moving.image)
    torch.testing.assert_close(moved.moving.image[1:], second.moving.image)
    torch.testing.assert_close(moved.moving.labels[1:], second.moving.labels)
