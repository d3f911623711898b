"""Shared by all tests: one thread (small tensors are faster), a private cache, phantoms, one Ray for the session."""

import os

# read by Ray when it is imported; no authentication is right for one machine and a test only
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data-root", type=Path, metavar="FOLDER", help="Folder of data sets, for the marker `data`.")


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["AUTOREG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dataset.json of eight small subjects."""
    from autoreg.data.synthetic import make_phantoms

    return make_phantoms(tmp_path_factory.mktemp("phantoms"), subjects=8, shape=(24, 24, 24), seed=0)


def smoke(dataset: Path):
    """Configuration, opened data and search space of launchers/configs/smoke.yaml."""
    from autoreg.config import load_config, load_space, shipped
    from autoreg.setting import open_setting

    config = load_config(shipped("launchers") / "configs" / "smoke.yaml")
    setting = open_setting(config, dataset)
    return config, setting, load_space(config.space, dims=setting.dims)


def searching(opened):
    """Workers of a small search."""
    from autoreg.setting import search_spec

    config, setting, space = opened
    return search_spec(config, setting, space, setting.roles(0))


@pytest.fixture(scope="session")
def smoke_setting(phantoms: Path):
    """`smoke` of the phantoms."""
    return smoke(phantoms)


@pytest.fixture(scope="session")
def tiny_spec(smoke_setting):
    """Workers of a small search."""
    return searching(smoke_setting)


@pytest.fixture(scope="session")
def flat_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dataset.json of eight subjects in 2-D: where the way matters and the volumes do not."""
    from autoreg.data.synthetic import make_phantoms

    return make_phantoms(tmp_path_factory.mktemp("flat"), subjects=8, shape=(32, 32), seed=0)


@pytest.fixture(scope="session")
def flat_setting(flat_phantoms: Path):
    """As `smoke_setting`, in 2-D."""
    return smoke(flat_phantoms)


@pytest.fixture(scope="session")
def flat_spec(flat_setting):
    """Workers of a small search in 2-D."""
    return searching(flat_setting)


@pytest.fixture(scope="session")
def training_spec_(smoke_setting):
    """Workers of a small training."""
    from dataclasses import asdict

    from autoreg.setting import training_spec

    config, setting, space = smoke_setting
    network = {"name": "all-conv3", "architecture": asdict(replace(space.architecture))}
    return training_spec(config, setting, space, setting.roles(0), network)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """Address of a local Ray for all tests of the session: starting one takes longer than most tests."""
    import ray

    from autoreg.workers.config import WorkerConfig
    from autoreg.workers.ray_pool import connect

    connect(WorkerConfig(count=2))
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
