"""Terms on displacements whose values are known by hand."""

import numpy as np
import pytest
import torch

from autoreg.data.volume import Volume
from autoreg.losses import lncc
from autoreg.networks import Registration
from autoreg.registration.batch import PairBatch, load_batch
from autoreg.registration.objective import Objective, displacement_at
from autoreg.registration.space import Term
from autoreg.spatial import halve, voxel_grid

SPACE = (8, 8)


def scan(image: np.ndarray, *, foreground: np.ndarray | None = None, labels: np.ndarray | None = None) -> Volume:
    inside = np.ones(SPACE, np.uint8) if foreground is None else foreground
    return Volume("scan", image.astype(np.float32), inside, labels, np.eye(4))


def batch_of(fixed: Volume, moving: Volume) -> PairBatch:
    return load_batch({"f": fixed, "m": moving}, [("f", "m")], multiple=4, device=torch.device("cpu"))


def field(constant: float = 0.0, slope: float = 0.0) -> Registration:
    """u = constant + slope x along the first axis of the full grid, and the same motion on two coarser ones."""
    full = torch.zeros(1, 2, *SPACE)
    full[:, 0] = constant + slope * voxel_grid(SPACE, full)[:, 0]
    return Registration(full, tuple(halve(full, times=k) / 2**k for k in (1, 2)))


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SPACE, dtype=np.float32)


def pooled(image: np.ndarray, times: int) -> np.ndarray:
    n = 2**times
    return image.reshape(SPACE[0] // n, n, SPACE[1] // n, n).mean((1, 3))


def measure(term: Term, batch: PairBatch, registration: Registration, *, labels: tuple[int, ...] = (1, 2)) -> float:
    return Objective([term], labels).terms_of(batch, registration).item()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_mse_without_motion_is_that_of_the_pooled_images(level: int) -> None:
    fixed, moving = random_image(0), random_image(1)
    expected = ((pooled(fixed, level) - pooled(moving, level)) ** 2).mean()
    found = measure(Term("t", "mse", level=level), batch_of(scan(fixed), scan(moving)), field())
    assert found == pytest.approx(expected, rel=1e-5)


def test_mse_after_a_whole_voxel_shift() -> None:
    """warped(x) = moving(x + 1); the last row has left the moving image and counts no more."""
    fixed, moving = random_image(0), random_image(1)
    expected = ((fixed[:-1] - moving[1:]) ** 2).mean()
    assert measure(Term("t", "mse"), batch_of(scan(fixed), scan(moving)), field(1.0)) == pytest.approx(
        expected, rel=1e-5
    )


def test_window_reaches_lncc() -> None:
    batch = batch_of(scan(random_image(0)), scan(random_image(1)))
    images = batch.fixed.image, batch.moving.image, batch.fixed.foreground
    for window in (3, 7):
        assert measure(Term("t", "lncc", window=window), batch, field()) == pytest.approx(
            lncc(*images, window=window).item(), rel=1e-5
        )


@pytest.mark.parametrize("level", [0, 1, 2])
def test_smoothness_of_a_linear_motion_is_the_same_on_every_grid(level: int) -> None:
    batch = batch_of(scan(random_image(0)), scan(random_image(1)))
    found = measure(Term("t", "diffusion", level=level), batch, field(slope=0.5))
    assert found == pytest.approx(0.5**2 / 4, rel=1e-5)  # sum(A^2) / d^2


def test_dice_by_hand() -> None:
    fixed, moving = np.zeros((2, *SPACE), np.int16)
    fixed[:4], moving[:2] = 1, 1  # 32 and 16 voxels, 16 shared: 2/3
    fixed[6:], moving[6:] = 2, 2  # equal: 1; the background does not count
    image = random_image(0)
    batch = batch_of(scan(image, labels=fixed), scan(image, labels=moving))
    for level in (0, 1):
        assert measure(Term("t", "dice", level=level), batch, field()) == pytest.approx(1 - (2 / 3 + 1) / 2, rel=1e-6)
    assert Objective([], (1,)).overlap(batch, field(), level=1).item() == pytest.approx(1 / 3, rel=1e-6)
    assert measure(Term("t", "dice"), batch_of(scan(image), scan(image, labels=moving)), field()) == 0.0


@pytest.mark.parametrize("kind", ["mse", "lncc", "mi"])
@pytest.mark.parametrize("side", ["fixed", "moving"])
def test_background_of_either_side_does_not_count(kind: str, side: str) -> None:
    inside = np.ones(SPACE, np.uint8)
    inside[:, 5:] = 0
    fixed, moving = random_image(0), random_image(1)
    values = []
    for background in (0.0, 1.0):
        f = scan(fixed, foreground=inside if side == "fixed" else None)
        m = scan(moving, foreground=inside if side == "moving" else None)
        for image in (f.image, m.image):
            image[:, 5:] = background * random_image(2)[:, 5:]
        values.append(measure(Term("t", kind), batch_of(f, m), field()))
    assert values[0] == pytest.approx(values[1], rel=1e-5) and values[0] > 0


def test_terms_keep_their_order_and_average_over_pairs() -> None:
    volumes = {key: scan(random_image(seed)) for seed, key in enumerate("abc")}
    terms = [Term("rough", "diffusion"), Term("mse", "mse"), Term("half", "mse", level=1)]
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]

    def values(chosen: list[tuple[str, str]]) -> torch.Tensor:
        batch = load_batch(volumes, chosen, multiple=4, device=torch.device("cpu"))
        full, levels, _ = field(slope=0.25)
        repeated = Registration(
            full.repeat(len(chosen), 1, 1, 1), tuple(u.repeat(len(chosen), 1, 1, 1) for u in levels)
        )
        return Objective(terms, ()).terms_of(batch, repeated)

    torch.testing.assert_close(values(pairs), torch.stack([values([pair]) for pair in pairs]).mean(0))
    assert values(pairs)[0].item() == pytest.approx(0.25**2 / 4)


def test_a_level_that_the_network_lacks_is_pooled_from_its_coarsest() -> None:
    whole = field(constant=1.0, slope=0.5)
    single = Registration(whole.displacement, whole.levels[:1])
    torch.testing.assert_close(displacement_at(single, 2), whole.levels[1])
    assert displacement_at(single, 1) is single.levels[0] and displacement_at(single, 0) is single.displacement
