"""Each peer for real, where it is installed: a known shift comes back, and the labels of two phantoms meet."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from autoreg.classical import PEERS, Register, open_peer
from autoreg.data.synthetic import make_subject
from autoreg.errors import AutoRegError, InputError
from autoreg.metrics import dice, folds_percent
from autoreg.registration.score import warp_labels

SHAPE = (40, 36, 44)
SHIFT = (2, -3, 1)
OBLIQUE = np.array([[0.98, -0.2, 0, 5], [0.2, 0.98, 0, -3], [0, 0, 1, 8], [0, 0, 0, 1]]) @ np.diag([-1.2, 1, 1.5, 1])
GRIDS = {"plain": np.eye(4), "oblique, anisotropic, flipped": OBLIQUE}


@pytest.fixture(scope="module", params=list(PEERS))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def peer(name) -> Register:
    try:
        return open_peer(name)
    except InputError as error:
        pytest.skip(str(error))


def phantom(index: int) -> tuple[np.ndarray, np.ndarray]:
    (image,), labels = make_subject(index, modalities=["t1"], shape=SHAPE, seed=0)
    return (image / 255).astype(np.float32), labels


def shifted(image: np.ndarray) -> np.ndarray:
    """The moving image of a fixed one: moving(x + shift) = fixed(x)."""
    return np.roll(image, SHIFT, axis=(0, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("affine", GRIDS.values(), ids=list(GRIDS))
def test_a_known_shift_comes_back(peer, affine):
    fixed, labels = phantom(0)
    found = peer(fixed, shifted(fixed), affine)
    inside = labels > 0
    errors = [np.abs(found[axis][inside] - SHIFT[axis]).mean() for axis in range(3)]
    assert max(errors) < 0.5, errors


@pytest.mark.slow
def test_labels_of_two_phantoms_meet(peer):
    (fixed, fixed_labels), (moving, moving_labels) = phantom(0), phantom(1)
    displacement = torch.from_numpy(peer(fixed, moving, OBLIQUE)).float()[None]
    numbers = sorted(set(np.unique(fixed_labels)) - {0})
    before = np.nanmean(dice(fixed_labels, moving_labels, numbers))
    after = np.nanmean(dice(fixed_labels, warp_labels(moving_labels, displacement), numbers))
    assert after > before + 0.05
    assert folds_percent(displacement) < 2


@pytest.mark.slow
def test_a_known_shift_comes_back_in_a_plane(name, peer):
    (image,), labels = make_subject(0, modalities=["t1"], shape=(64, 60), seed=0)
    fixed = (image / 255).astype(np.float32)
    moving = np.roll(fixed, SHIFT[:2], axis=(0, 1))
    if name == "convexadam":  # the one that has no 2-D form
        with pytest.raises(InputError, match="dimensions: expected 3"):
            peer(fixed, moving, np.eye(4))
        return
    found = peer(fixed, moving, np.diag([-1.5, 1.2, 1, 1]))
    errors = [np.abs(found[axis][labels > 0] - SHIFT[axis]).mean() for axis in range(2)]
    assert max(errors) < 0.5, errors


@pytest.mark.slow
def test_two_shapes_are_refused(peer):
    with pytest.raises(InputError, match="expected one grid for both"):
        peer(np.zeros((8, 8, 8), np.float32), np.zeros((8, 8, 9), np.float32), np.eye(4))


def test_an_unknown_peer_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'elastix'"):
        open_peer("elastics")


ABSENT = """
import sys
from autoreg.classical import open_peer
from autoreg.errors import InputError
for name in ("ants", "itk", "convexAdam", "fireants"):
    sys.modules[name] = None  # Python then refuses to import it
for name in ("ants", "elastix", "niftyreg", "convexadam", "fireants"):
    try:
        open_peer(name)
    except InputError as error:
        print(error)
"""


def test_an_absent_peer_says_how_to_install_it(tmp_path):
    environment = {"PATH": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", ABSENT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    told = dict(zip(PEERS, done.stdout.splitlines(), strict=True))
    for extra in ("ants", "elastix", "convexadam"):
        assert f"pip install 'autoreg[{extra}]'" in told[extra]
    assert "pip install --no-deps fireants" in told["fireants"]
    assert "executable reg_f3d on PATH" in told["niftyreg"]
    assert "AUTOREG_NIFTYREG" in told["niftyreg"]


@pytest.mark.parametrize("answer", [np.zeros((3, 4, 4, 5)), np.full((3, 4, 4, 4), np.nan)], ids=["shape", "nan"])
def test_what_is_no_displacement_is_refused(monkeypatch, answer):
    monkeypatch.setitem(PEERS, "odd", lambda threads: lambda fixed, moving, affine: answer)
    image = np.zeros((4, 4, 4), np.float32)
    with pytest.raises(AutoRegError, match="odd: expected a finite displacement"):
        open_peer("odd")(image, image, np.eye(4))
