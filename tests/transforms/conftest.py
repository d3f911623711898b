"""Registered files."""

from pathlib import Path

import pytest
from scenes import GEOMETRIES, register_scene, register_slices

from autoreg.evaluation.files import FileRegistration


@pytest.fixture(scope="session", params=GEOMETRIES)
def registered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FileRegistration:
    """The moving file has each of the geometries in turn, and the fixed file the next one."""
    names = list(GEOMETRIES)
    other = names[(names.index(request.param) + 1) % len(names)]
    return register_scene(tmp_path_factory.mktemp("scene"), GEOMETRIES[other], GEOMETRIES[request.param])


@pytest.fixture
def registered_2d(tmp_path: Path) -> FileRegistration:
    return register_slices(tmp_path)
