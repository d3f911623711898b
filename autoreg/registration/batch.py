"""Pairs of volumes as tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoreg.data.volume import Volume
from autoreg.errors import DataError
from autoreg.shapes import Image, Labels, Mask
from autoreg.spatial import halve, pad_to_multiple


@dataclass(frozen=True)
class Side:
    """One side of a batch of pairs."""

    image: Image
    foreground: Mask
    labels: Labels | None
    """None where no pair of the batch has labels on both sides; all 0 for a pair that lacks them."""


@dataclass(frozen=True)
class PairBatch:
    """A batch of pairs, padded to the network's multiple; `crop` takes a padded tensor back."""

    fixed: Side
    moving: Side
    crop: tuple[slice, ...]

    @property
    def labelled(self) -> bool:
        return self.fixed.labels is not None and self.moving.labels is not None


def load_batch(
    volumes: Mapping[str, Volume],
    pairs: Sequence[tuple[str, str]],
    *,
    multiple: int,
    device: torch.device,
) -> PairBatch:
    """The (fixed, moving) pairs as tensors.

    Raises:
        DataError: when the volumes of a batch do not share a shape.
    """
    sides = [volumes[f] for f, _ in pairs], [volumes[m] for _, m in pairs]
    labelled = [f.labels is not None and m.labels is not None for f, m in zip(*sides, strict=True)]
    (fixed, crop), (moving, _) = (_side(side, labelled, multiple, device) for side in sides)
    if fixed.image.shape != moving.image.shape:
        raise DataError(
            f"pair {pairs[0]}: fixed and moving differ in shape, {tuple(fixed.image.shape[2:])} and "
            f"{tuple(moving.image.shape[2:])}: resample them to one grid first"
        )
    return PairBatch(fixed, moving, crop)


def halved(batch: PairBatch, *, times: int) -> PairBatch:
    """The batch, without labels, on a grid 2^times coarser, its padding included; itself for 0."""
    if not times:
        return batch

    def side(of: Side) -> Side:
        return Side(halve(of.image, times=times), halve(of.foreground, times=times), None)

    return PairBatch(side(batch.fixed), side(batch.moving), (slice(None),) * batch.fixed.image.ndim)


def augmented(batch: PairBatch, seeds: Sequence[int]) -> PairBatch:
    """The batch with each pair's moving side under a random affine motion; one seed a pair, so that shards agree."""
    # kornia is needed for augmentation only, and the numerical core must import without it
    from autoreg.data.augment import random_affine

    side = batch.moving
    moved = [
        random_affine(
            side.image[i : i + 1],
            side.foreground[i : i + 1],
            None if side.labels is None else side.labels[i : i + 1],
            generator=torch.Generator().manual_seed(seed),
        )
        for i, seed in enumerate(seeds)
    ]
    images, foregrounds, labels = zip(*moved, strict=True)
    joined = None if side.labels is None else torch.cat([x for x in labels if x is not None])
    return PairBatch(batch.fixed, Side(torch.cat(images), torch.cat(foregrounds), joined), batch.crop)


def _side(
    volumes: Sequence[Volume], labelled: Sequence[bool], multiple: int, device: torch.device
) -> tuple[Side, tuple[slice, ...]]:
    shapes = {v.image.shape for v in volumes}
    if len(shapes) > 1:
        raise DataError(f"{[v.key for v in volumes]}: expected one shape, got {sorted(shapes)}")
    image, crop = pad_to_multiple(_stack([v.image for v in volumes], torch.float32, device), multiple)
    foreground, _ = pad_to_multiple(_stack([v.foreground for v in volumes], torch.float32, device), multiple)
    labels = None
    if any(labelled):
        maps = [
            v.labels if known and v.labels is not None else np.zeros(v.image.shape, np.int16)
            for v, known in zip(volumes, labelled, strict=True)
        ]
        labels, _ = pad_to_multiple(_stack(maps, torch.int16, device), multiple)
    return Side(image, foreground, labels), crop


def _stack(arrays: Sequence[np.ndarray], dtype: torch.dtype, device: torch.device) -> Tensor:
    """(b, 1, *s); np.stack copies, so read-only memory maps stay untouched."""
    return torch.from_numpy(np.stack(arrays)).unsqueeze(1).to(device=device, dtype=dtype)
