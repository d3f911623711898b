"""From files to a volume with intensities 0..1, foreground and labels."""

from pathlib import Path

import numpy as np

from autoreg.data.dataset import DEFAULTS, DataConfig
from autoreg.data.entries import Entry
from autoreg.data.nifti import read_image, read_labels
from autoreg.data.volume import Volume
from autoreg.errors import DataError


def load_volume(entry: Entry, config: DataConfig = DEFAULTS) -> Volume:
    """The entry's scan, prepared as `config` says.

    Foreground intensities between the two percentiles become 0..1, the rest is clipped; with the rule
    "positive" the background is exactly 0.

    Raises:
        DataError: if a file cannot be used, the image is constant, or image and labels differ in shape.
    """
    raw, affine = read_image(entry.image_path)
    image, foreground = normalise(raw, config, entry.image_path)
    labels = None
    if entry.label_path is not None:
        labels, _ = read_labels(entry.label_path)
        if labels.shape != raw.shape:
            raise DataError(f"{entry.label_path}: shape: expected the image's {raw.shape}, got {labels.shape}")
    return Volume(entry.key, image, foreground, labels, affine)


def normalise(raw: np.ndarray, config: DataConfig, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Image (float32, 0..1) and foreground (uint8) of raw intensities; `path` is for the message.

    Raises:
        DataError: if the image is constant or has no foreground.
    """
    inside = raw > 0 if config.foreground == "positive" else np.ones(raw.shape, dtype=bool)
    if raw.min() == raw.max() or not inside.any():
        raise DataError(f"{path}: intensities: expected a foreground that differs from its background, got {raw.max()}")
    low, high = np.percentile(raw[inside], config.percentiles).astype(np.float32)
    if low == high:  # a mask, or nearly so: its two values become 0 and 1
        low, high = raw.min(), raw.max()
    image = np.clip((raw - low) / (high - low), 0.0, 1.0, dtype=np.float32)
    return np.where(inside, image, np.float32(0.0)), inside.astype(np.uint8)
