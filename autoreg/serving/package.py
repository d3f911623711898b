"""A trained model as MLflow knows models: a folder with model.pt and the few lines of code that open it."""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from autoreg.tracking.mlflow_tracker import mlflow_module

ARTIFACT = "model"
"""What MLflow calls the model file."""

_ENTRY = Path(__file__).with_name("entry.py")


def package_model(model_file: Path, folder: Path) -> Path:
    """Write a folder for `mlflow.pyfunc.load_model`; returns it. What was there is replaced.

    There is no pickle in it: MLflow runs the code of `serving.entry`, which is in the folder, to be read.

    Args:
        model_file: model.pt of a training.
    """
    pyfunc = mlflow_module().pyfunc
    shutil.rmtree(folder, ignore_errors=True)
    with _quiet():
        pyfunc.save_model(
            path=str(folder),
            python_model=str(_ENTRY),
            artifacts={ARTIFACT: str(model_file.resolve())},
            pip_requirements=[f"autoreg[run]=={metadata.version('autoreg')}"],
        )
    return folder


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's advice on signatures and types, which it has not for volumes."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logger.setLevel(level)
