"""Values of a configuration are what people write."""

import pytest

from autoreg.config import load_config
from autoreg.errors import ConfigError


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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.round=3", "options: unknown key search.round (did you mean 'rounds'?)"),
        ("search.rounds=many", "options: search.rounds: expected int, got 'many'"),
    ],
)
def test_what_is_wrong_with_an_option_is_not_blamed_on_the_file(tmp_path, override, message):
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, ["seed=2", override])
    assert str(caught.value) == message


def test_what_is_wrong_with_the_file_is_not_blamed_on_an_option(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("search: {rounds: many}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: search\.rounds: expected int, got 'many'"):
        load_config(file, ["seed=2"])
