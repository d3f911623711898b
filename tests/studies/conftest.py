"""A configuration of four steps, and one folder of studies for all tests: what one has made, the others find."""

from dataclasses import replace
from pathlib import Path

import pytest

from autoreg.config import Config, config_from_dict


@pytest.fixture(scope="session")
def brief() -> Config:
    """Four steps everywhere, in this process."""
    values = {
        "space": "tiny",
        "search": {"rounds": 3, "warmup_rounds": 1, "steps_per_round": 2, "finalists": 1},
        "train": {"steps": 4, "steps_per_round": 4, "evaluate_every": 1, "selection_pairs": 1, "warmup_steps": 1},
        "tune": {"trials": 2},
        "workers": {"local": True},
    }
    return config_from_dict(values, "test")


@pytest.fixture(scope="session")
def studied(brief: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """The configuration, with a store of its own, and the folder of studies."""
    home = tmp_path_factory.mktemp("studies")
    return replace(brief, tracking=replace(brief.tracking, home=str(home / "store"))), home
