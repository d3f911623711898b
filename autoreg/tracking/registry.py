"""Versions of named models in the registry of an MLflow store."""

from collections.abc import Mapping
from pathlib import Path

from autoreg.errors import InputError
from autoreg.tracking.mlflow_tracker import mlflow_module


def register_version(
    uri: str, run_id: str, package: Path, *, name: str, description: str, tags: Mapping[str, str]
) -> int:
    """A new version of the model `name`, with the files of `package` as the run has them; returns its number.

    Args:
        package: folder that MLflow loads; stored with the run if the run has none of that name.

    Raises:
        InputError: the store does not answer, has no such run, or takes no such name.
    """
    mlflow = mlflow_module()
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    try:
        run = client.get_run(run_id)
        if not client.list_artifacts(run_id, package.name):
            client.log_artifacts(run_id, str(package), package.name)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        source = f"{run.info.artifact_uri}/{package.name}"
        version = client.create_model_version(name, source, run_id, tags=dict(tags), description=description)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{uri}: model {name}: expected a store that takes it, got: {reason}") from error
    return int(version.version)
