"""Values of a configuration are what people write."""

import pytest

from autoreg.config import load_config


@pytest.mark.parametrize(
    ("override", "group", "name", "value"),
    [
        ("data.fixed_modality=0001", "data", "fixed_modality", "0001"),
        ("train.learning_rate=1e-3", "train", "learning_rate", 0.001),
        ("train.learning_rate=1", "train", "learning_rate", 1.0),
        ("train.steps=1_000", "train", "steps", 1000),
        ("workers.max=0x10", "workers", "max", 16),
    ],
)
def test_a_value_on_the_command_line(override, group, name, value):
    found = getattr(getattr(load_config(None, [override]), group), name)
    assert found == value and type(found) is type(value)
