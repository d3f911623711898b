import numpy as np
import pytest

from autoreg.data.content import looks_like_labels
from autoreg.data.synthetic import make_subject


def test_phantoms_are_told_apart():
    images, labels = make_subject(0, modalities=["t1", "t2"], shape=(24, 24, 24), seed=0)
    assert looks_like_labels(labels) and looks_like_labels(labels.astype(np.float32) * 100)
    assert not any(looks_like_labels(image) for image in images)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).integers(0, 9, (8, 8)),
        np.full((8, 8), 3),
        np.repeat([0.5, 1.5], 32).reshape(8, 8),
        np.repeat([-1, 1], 32).reshape(8, 8),
        np.zeros((8, 8)),
    ],
)
def test_noise_constants_fractions_and_negatives_are_no_labels(values):
    assert not looks_like_labels(values)
