import numpy as np
import pytest

from autoreg.data.volume import Volume


@pytest.mark.parametrize(
    ("affine", "shape", "spacing"),
    [
        (np.diag([2.0, 3.0, 4.0, 1.0]), (2, 2, 2), (2, 3, 4)),
        (np.diag([2.0, 3.0, 4.0, 1.0]), (2, 2), (2, 3)),
        ([[0, -5, 0, 9], [-3, 0, 0, 9], [0, 0, 1, 9], [0, 0, 0, 1]], (2, 2, 2), (3, 5, 1)),  # axes swapped, flipped
        ([[3, 0, 0, 0], [4, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], (2, 2, 2), (5, 0, 1)),  # oblique
    ],
)
def test_spacing_is_length_of_affine_columns(affine, shape, spacing):
    image = np.zeros(shape, np.float32)
    volume = Volume("a", image, image.astype(np.uint8), None, np.asarray(affine, float))
    assert volume.spacing == spacing
