"""How unlike a fixed and a warped image are, as differentiable terms.

Every term takes (fixed, warped, mask) and returns one value a sample, lower is better. Intensities are
0..1. Only voxels with mask 1 count: an image edge made by padding or cropping is no anatomy, and without
the mask local correlation follows it.
"""

from collections.abc import Callable
from functools import wraps
from itertools import combinations, product
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from autoreg.shapes import Image, Mask
from autoreg.spatial import window_mean

_VARIANCE_FLOOR = 1e-5  # intensity^2: contrast below 0.003 of the full range counts as noise
_SSD_FLOOR = 1e-6  # intensity^2: keeps a constant patch from dividing by zero
_LOG_FLOOR = 1e-12  # probability: keeps the derivative of p log p finite in empty bins
_MI_VOXELS = 32749  # the largest prime below 2^15, see `_spread_indices`

_Term = TypeVar("_Term", bound=Callable[..., Tensor])


def _in_full_precision(term: _Term) -> _Term:
    """The term with shapes checked, in float32 at least and outside autocast.

    Variances are differences of almost equal numbers, and bfloat16 keeps only 8 bits of them.
    """

    @wraps(term)
    def guarded(fixed: Image, warped: Image, mask: Mask, **settings: object) -> Tensor:
        if fixed.shape != warped.shape or mask.shape != (fixed.shape[0], 1, *fixed.shape[2:]):
            raise ValueError(
                f"{term.__name__}: expected fixed and warped (b, c, *s) and mask (b, 1, *s), got "
                f"{tuple(fixed.shape)}, {tuple(warped.shape)} and {tuple(mask.shape)}"
            )
        dtype = torch.promote_types(torch.promote_types(fixed.dtype, warped.dtype), torch.float32)
        with torch.autocast(warped.device.type, enabled=False):
            return term(fixed.to(dtype), warped.to(dtype), mask.detach().to(dtype), **settings)

    return cast(_Term, guarded)


def _masked_mean(values: Tensor, mask: Mask) -> Tensor:
    """Mean over channels and over the voxels of the mask, (b,); 0 where the mask is empty."""
    inside = (values.mean(1) * mask[:, 0]).flatten(1).sum(1)
    return inside / mask.flatten(1).sum(1).clamp(min=1)


def _centred(image: Image, mask: Mask) -> Image:
    """Image less its masked mean, per sample and channel.

    Correlation does not change by a constant, so the mean carries no gradient; taking it away first keeps
    E[x^2] - E[x]^2 accurate in float32.
    """
    constant = image.detach()
    total = (constant * mask).flatten(2).sum(2) / mask.flatten(2).sum(2).clamp(min=1)
    return image - total.view(*total.shape, *[1] * (image.ndim - 2))


@_in_full_precision
def lncc(fixed: Image, warped: Image, mask: Mask, *, window: int = 9) -> Tensor:
    """1 - mean squared local correlation coefficient, (b,) in 0..1.

    Means, variances and the covariance of a window use only its voxels inside the mask and the volume.
    Insensitive to a linear change of either image where its contrast is above 0.003.

    Args:
        fixed: (b, c, *s), intensities 0..1; channels are averaged.
        warped: like fixed.
        mask: (b, 1, *s) of 0 and 1; all 0 gives 1.
        window: edge of the cubic window in voxels, odd.

    Raises:
        ValueError: if shapes differ or the window is even.

    Reference: Avants et al. 2008, doi:10.1016/j.media.2007.06.004.

    Example:
        >>> image = torch.rand(1, 1, 16, 16, 16)
        >>> value = lncc(image, 0.5 * image + 0.1, torch.ones_like(image))  # about 0
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"lncc: expected an odd window, got {window}")
    fixed, warped = _centred(fixed, mask), _centred(warped, mask)
    # Two passes: the statistics of the fixed image alone need no backward pass.
    of_fixed = window_mean(torch.cat([mask, mask * fixed, mask * fixed**2], dim=1), window)
    of_warped = window_mean(mask * torch.cat([warped, warped**2, fixed * warped], dim=1), window)
    weight = of_fixed[:, :1].clamp(min=1e-6)  # only windows without any masked voxel are that light
    mean_f, square_f = (of_fixed[:, 1:] / weight).chunk(2, dim=1)
    mean_w, square_w, cross = (of_warped / weight).chunk(3, dim=1)
    variance_f = (square_f - mean_f**2).clamp(min=0) + _VARIANCE_FLOOR
    variance_w = (square_w - mean_w**2).clamp(min=0) + _VARIANCE_FLOOR
    covariance = cross - mean_f * mean_w
    return 1 - _masked_mean(covariance**2 / (variance_f * variance_w), mask)


@_in_full_precision
def mse(fixed: Image, warped: Image, mask: Mask) -> Tensor:
    """Mean squared intensity difference inside the mask, (b,); 0 for an empty mask."""
    return _masked_mean((fixed - warped) ** 2, mask)


def _self_similarity(image: Tensor, radius: int, dilation: int) -> Tensor:
    """MIND-SSC descriptors of one-channel images (n, 1, *s): (n, 12, *s) in 3-D, (n, 4, *s) in 2-D."""
    dims = image.ndim - 2
    padded = F.pad(image, [dilation] * (2 * dims), mode="replicate")

    def neighbour(axis: int, sign: int) -> Tensor:
        starts = [dilation * (1 + sign * (axis == a)) for a in range(dims)]
        inner = [slice(start, start + n) for start, n in zip(starts, image.shape[2:], strict=True)]
        return padded[(..., *inner)]

    # Neighbours on two different axes are the pairs sqrt(2) apart; opposite ones (2 apart) are left out.
    differences = [
        neighbour(first, sign) - neighbour(second, other)
        for first, second in combinations(range(dims), 2)
        for sign, other in product((-1, 1), repeat=2)
    ]
    distance = window_mean(torch.cat(differences, dim=1) ** 2, 2 * radius + 1)
    distance = distance - distance.amin(1, keepdim=True)
    noise = distance.mean(1, keepdim=True)
    typical = noise.detach().flatten(1).mean(1).view(-1, *[1] * (dims + 1))
    noise = torch.clamp(noise, min=1e-3 * typical, max=1e3 * typical) + _SSD_FLOOR
    return torch.exp(-distance / noise)


@_in_full_precision
def mind(fixed: Image, warped: Image, mask: Mask, *, radius: int = 2, dilation: int = 2) -> Tensor:
    """Mean squared difference of self-similarity descriptors inside the mask, (b,) in 0..1.

    For images of different modality: a descriptor compares patches around a voxel within one image only.
    3-D: the 12 pairs of MIND-SSC; 2-D: the analogous 4 pairs.

    Args:
        fixed: (b, c, *s), intensities 0..1; descriptors are made for each channel.
        warped: like fixed.
        mask: (b, 1, *s) of 0 and 1; all 0 gives 0.
        radius: patches have an edge of 2 radius + 1 voxels.
        dilation: distance of the compared neighbours from the centre, in voxels.

    Reference: Heinrich et al. 2013, doi:10.1007/978-3-642-40811-3_24.
    """
    batch, channels, *space = fixed.shape
    of_fixed, of_warped = (
        _self_similarity(image.reshape(batch * channels, 1, *space), radius, dilation) for image in (fixed, warped)
    )
    return _masked_mean(((of_fixed - of_warped) ** 2).reshape(batch, -1, *space), mask)


def _spread_indices(inside: Tensor) -> Tensor:
    """Positions of at most `_MI_VOXELS` masked voxels, spread evenly, the same ones every time.

    A prime count makes the stride a fraction, so it cannot step along one plane of a grid of round size.
    """
    positions = inside.nonzero().squeeze(1)
    count = min(len(positions), _MI_VOXELS)
    return positions[torch.arange(count, device=inside.device) * len(positions) // max(count, 1)]


def _soft_bins(values: Tensor, bins: int) -> Tensor:
    """Gaussian Parzen weights of each value, (..., n) -> (..., n, bins), each row adding up to 1."""
    centres = torch.linspace(0, 1, bins, dtype=values.dtype, device=values.device)
    width = 0.5 / (bins - 1)
    offset = (values.clamp(0, 1).unsqueeze(-1) - centres) / width
    return torch.softmax(-0.5 * offset**2, dim=-1)


def _entropy(probability: Tensor, axes: tuple[int, ...]) -> Tensor:
    return -(probability * (probability + _LOG_FLOOR).log()).sum(axes)


def _mi_of_sample(fixed: Tensor, warped: Tensor, inside: Tensor, bins: int) -> Tensor:
    """The `mi` value of one sample: fixed and warped (c, n), inside (n,)."""
    chosen = _spread_indices(inside)
    of_fixed, of_warped = _soft_bins(fixed[:, chosen], bins), _soft_bins(warped[:, chosen], bins)
    joint = of_fixed.transpose(1, 2) @ of_warped / max(len(chosen), 1)
    shared = _entropy(joint, (1, 2))
    single = _entropy(joint.sum(2), (1,)) + _entropy(joint.sum(1), (1,))
    return 1 - ((single - shared) / shared.clamp(min=1e-6)).mean()


@_in_full_precision
def mi(fixed: Image, warped: Image, mask: Mask, *, bins: int = 32) -> Tensor:
    """2 - normalised mutual information (H(f) + H(w)) / H(f, w), (b,) in 0..1.

    1 for independent images; 0 is the limit for images that determine each other, and the soft histogram
    stays above it. At most 2^15 voxels a sample are used, always the same ones, so memory is bounded.

    Args:
        fixed: (b, c, *s), intensities 0..1 (clipped to that); channels are averaged.
        warped: like fixed.
        mask: (b, 1, *s) of 0 and 1; all 0 gives 1.
        bins: bins an axis of the joint histogram; the Gaussian kernel has a deviation of half a bin.

    Reference: Studholme et al. 1999, doi:10.1016/S0031-3203(98)00091-0.
    """
    samples = zip(fixed.flatten(2), warped.flatten(2), mask.flatten(1) > 0, strict=True)
    return torch.stack([_mi_of_sample(*sample, bins) for sample in samples])


SIMILARITIES: dict[str, Callable[..., Tensor]] = {"lncc": lncc, "mind": mind, "mi": mi, "mse": mse}
"""Similarity terms by name: (fixed, warped, mask, **settings) -> (b,)."""
