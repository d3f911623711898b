"""Precision and recomputation as workers know them: what changes the numbers, and what does not."""

from dataclasses import replace

import numpy as np
import pytest

from autoreg.config import load_config
from autoreg.errors import ConfigError, InputError
from autoreg.workers.config import WorkerConfig
from autoreg.workers.messages import RoundTask, WorkerSpec
from autoreg.workers.pool import LocalPool

FIELDS = ("terms", "alpha_direct", "alpha_indirect", "architecture_terms", "loss_weights_gradient")
ALPHA = np.linspace(-0.5, 0.5, 18, dtype=np.float32).reshape(6, 3)
LAMBDA = np.array([1.0, 10.0, 1.0, 1.0])


def searching(spec: WorkerSpec, *, steps: int = 1, **changes: object) -> tuple[dict[str, np.ndarray], dict]:
    """A round with both upper levels, and the weights after it."""
    pool = LocalPool(spec)
    options = {"alpha": ALPHA, "update_alpha": True, "update_loss_weights": True, **changes}
    (report,) = pool.run_round(RoundTask(0, 0, (1e-3,) * steps, LAMBDA, **options))  # type: ignore[arg-type]
    return {name: getattr(report, name) for name in FIELDS}, pool.state()["weights"]


def training(spec: WorkerSpec, steps: int, *, first: int = 0) -> tuple[LocalPool, float]:
    pool = LocalPool(spec)
    return pool, objective(pool, steps, first)


def objective(pool: LocalPool, steps: int, first: int) -> float:
    (report,) = pool.run_round(RoundTask(0, first, (3e-3,) * steps, LAMBDA))
    return float(report.terms @ LAMBDA)


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("precision", "float16", r"workers\.precision: expected one of float32, bfloat16, got 'float16'"),
        ("precision", "bf16", r"workers\.precision: expected one of float32, bfloat16, got 'bf16'"),
    ],
)
def test_a_wrong_setting_is_named(name, value, message):
    with pytest.raises(InputError, match=message):
        WorkerConfig(**{name: value})
    with pytest.raises(ConfigError, match=message):
        load_config(None, [f"workers.{name}={value}"])


def test_checkpointing_is_true_or_false():
    assert load_config(None, ["workers.checkpointing=true"]).workers.checkpointing
    with pytest.raises(ConfigError, match=r"workers\.checkpointing: expected bool, got 'some'"):
        load_config(None, ["workers.checkpointing=some"])


@pytest.mark.parametrize("relaxation", ["single-path", "softmax", "partial-channel"])
def test_recomputation_changes_no_bit_of_a_search(flat_spec, relaxation):
    spec = replace(flat_spec, relaxation=relaxation)
    kept, again = (searching(replace(spec, checkpointing=on), steps=2) for on in (False, True))
    assert_same(kept[0], again[0])
    assert_same(kept[1], again[1])


@pytest.mark.parametrize(
    ("alpha", "loss_weights"),
    [("second_derivative", "second_derivative"), ("unrolled", "unrolled"), ("darts_fd", "dot_product")],
)
def test_recomputation_changes_no_bit_of_an_estimator(flat_spec, alpha, loss_weights):
    spec = replace(flat_spec, relaxation="softmax")
    estimators = {"alpha_estimator": alpha, "loss_weights_estimator": loss_weights}
    kept, again = (searching(replace(spec, checkpointing=on), **estimators) for on in (False, True))
    assert_same(kept[0], again[0])


def test_recomputation_changes_no_bit_of_a_training(training_spec_):
    kept, again = (training(replace(training_spec_, checkpointing=on), 3) for on in (False, True))
    assert kept[1] == again[1]
    assert_same(kept[0].state()["weights"], again[0].state()["weights"])


def test_recomputation_of_levels_that_learn_in_turn(training_spec_):
    """Weights that rest are replaced while the network runs, and are the real ones when a part runs again."""
    spec = replace(training_spec_, network={"name": "bpfl"})
    kept, again = (training(replace(spec, checkpointing=on), 2) for on in (False, True))
    assert_same(kept[0].state()["weights"], again[0].state()["weights"])


def test_steps_that_upper_levels_look_at_are_float32(flat_spec):
    """A round of one step is all float32; of two steps the first is not."""
    full, brief = (replace(flat_spec, precision=name) for name in ("float32", "bfloat16"))
    assert_same(searching(full)[0], searching(brief)[0])
    two = [searching(spec, steps=2) for spec in (full, brief)]
    assert any(not np.array_equal(value, two[1][1][name]) for name, value in two[0][1].items())
    np.testing.assert_allclose(two[1][0]["terms"], two[0][0]["terms"], rtol=0.03, atol=1e-4)  # of 0.6 in all


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_short_training_in_bfloat16(training_spec_, checkpointing):
    """Terms near those of float32, weights and moments float32, and the objective falls."""
    spec = replace(training_spec_, precision="bfloat16", checkpointing=checkpointing)
    (pool, start), (in_full, full) = training(spec, 1), training(training_spec_, 1)
    assert start == pytest.approx(full, rel=0.01)
    for one in (pool, in_full):
        objective(one, 20, 1)
    fell, fell_in_full = start - objective(pool, 1, 0), full - objective(in_full, 1, 0)  # on the first batch again
    assert fell > 0.25 * fell_in_full > 0
    state = pool.state()
    assert {value.dtype for value in state["weights"].values()} == {np.dtype(np.float32)}
    assert {moment.dtype for moment in state["lower"]["exp_avg_sq"]} == {np.dtype(np.float32)}
