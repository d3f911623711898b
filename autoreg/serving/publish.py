"""A trained model in the registry of the store that tracked its training."""

import re
from pathlib import Path

from autoreg.errors import InputError
from autoreg.search.run import MLFLOW_MODEL, read_result
from autoreg.serving.package import package_model
from autoreg.tracking.note import run_note
from autoreg.tracking.registry import register_version

_NAME = re.compile(r"[\w.-]+")  # nothing that means something in a models:/ address or in MLflow's filters


def publish(folder: Path, *, name: str) -> dict[str, str]:
    """Enter the model of a run's folder as a new version of `name`; returns what to tell.

    Raises:
        InputError: no trained model there, a training that was not tracked, or a name or store that does not do.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"--name: expected letters, digits and . _ -, got {name!r}")
    result = read_result(folder)
    if not (folder / "model.pt").exists():
        raise InputError(f"{folder}: expected a folder with model.pt, as autoreg train and tune leave, got none")
    uri, run_id = result.get("mlflow_tracking_uri"), result.get("mlflow_run_id")
    if not (uri and run_id):
        raise InputError(f"{folder}: expected a tracked training, got one without an MLflow run")
    package = folder / MLFLOW_MODEL
    if not package.exists():
        package_model(folder / "model.pt", package)
    told = {key: str(result[key]) for key in ("dataset", "dataset_hash", "network", "version") if result.get(key)}
    version = register_version(
        uri, run_id, package, name=name, description=run_note(result, folder.resolve()), tags=told
    )
    return {
        "model": f"models:/{name}/{version}",
        "store": re.sub(r"//[^/@]*@", "//", uri),
        "load": f'mlflow.pyfunc.load_model("models:/{name}/{version}").predict({{"fixed": fixed, "moving": moving}})',
    }
