"""A trained model as others get it: from a folder, from a run, from the registry."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

import autoreg as ar
from autoreg.cli import main
from autoreg.errors import InputError
from autoreg.networks import Architecture, Genotype, build_network
from autoreg.registration.model import save_model
from autoreg.search.run import MLFLOW_MODEL
from autoreg.serving.package import package_model
from autoreg.serving.publish import publish
from autoreg.tracking.mlflow_tracker import local_store, mlflow_module, open_tracker

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

NETWORK = {"genotype": Genotype.uniform(Architecture(feature_channels=(2,), feature_edges=1, deformation_channels=(4,)),
                                        "conv3").to_dict()}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a tracked training whose network moves images by a visible amount."""
    home = tmp_path_factory.mktemp("store")
    folder = home / "train"
    folder.mkdir()
    torch.manual_seed(0)
    weights = build_network(NETWORK).state_dict()
    weights["deformations.0.head.weight"] *= 1e5  # trainings start from almost no motion
    save_model(
        folder / "model.pt", description=NETWORK, weights=weights,
        data={"foreground": "positive", "percentiles": [0, 100]}, labels={1: "cortex"}, loss_weights={"lncc": 1.0},
        common_affine=True,
    )  # fmt: skip
    with open_tracker(None, experiment="brains", run_name="train", home=home) as tracker:
        result = {"command": "train", "status": "finished", "dataset": "brains", "metrics": {"val_dice": 0.7},
                  "loss_weights": {"lncc": 1.0}, "mlflow_run_id": tracker.run_id,
                  "mlflow_tracking_uri": local_store(home)[0]}  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture(scope="module")
def published(run):
    """The address of version 1, and MLflow looking at its store."""
    mlflow = mlflow_module()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(local_store(run.parent)[0])
    yield publish(run, name="brains")["model"], mlflow
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(0)
    return [generator.random((12, 14, 10), dtype=np.float32) + 0.1 for _ in range(2)]


def test_a_published_model_registers_arrays_as_autoreg_does(run, published, pair):
    address, mlflow = published
    assert address == "models:/brains/1"
    found = mlflow.pyfunc.load_model(address).predict({"fixed": pair[0], "moving": pair[1]})
    expected = ar.register(run, *pair)
    assert np.abs(expected.displacement).max() > 0.1
    np.testing.assert_allclose(found["displacement"], expected.displacement, atol=1e-5)
    np.testing.assert_allclose(found["warped"], expected.warped, atol=1e-5)
    assert found["folds_percent"] == pytest.approx(expected.folds_percent)


def test_a_published_model_registers_a_table_of_files(run, published, pair, tmp_path):
    address, mlflow = published
    paths = []
    for name, image in zip(("fixed", "moving"), pair, strict=True):
        paths.append(str(tmp_path / f"{name}.nii.gz"))
        nib.save(nib.Nifti1Image(image, np.diag([2.0, 2.0, 2.0, 1.0])), paths[-1])
    table = pd.DataFrame({"fixed": paths[:1] * 2, "moving": paths[1:] * 2})
    found = mlflow.pyfunc.load_model(address).predict(table)
    ar.register_files(run, *paths, warped=tmp_path / "warped.nii.gz")
    expected = np.asarray(nib.load(tmp_path / "warped.nii.gz").dataobj)
    assert len(found) == 2
    np.testing.assert_allclose(found[1]["warped"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"moving": None}, "got no moving"), ({"moving": "moving.nii.gz"}, "two arrays or two files")],
)
def test_an_incomplete_pair_is_named(published, pair, change, words):
    address, mlflow = published
    given = {"fixed": pair[0], "moving": pair[1]} | change
    with pytest.raises(InputError, match=words):
        mlflow.pyfunc.load_model(address).predict({k: v for k, v in given.items() if v is not None})


def test_nothing_in_the_package_is_pickled(run, published):
    package = run / MLFLOW_MODEL
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert files - {"__pycache__"} >= {"MLmodel", "entry.py", "artifacts/model.pt"}
    assert not any(name.endswith((".pkl", ".pickle")) for name in files)
    torch.load(package / "artifacts" / "model.pt", weights_only=True)


def test_a_second_version_says_what_the_run_says(run, published):
    assert publish(run, name="brains")["model"] == "models:/brains/2"
    version = published[1].MlflowClient(local_store(run.parent)[0]).get_model_version("brains", "2")
    assert "Validation Dice **0.7**" in version.description
    assert version.run_id == json.loads((run / "result.json").read_text())["mlflow_run_id"]


def test_a_package_is_replaced_whole(run, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old").write_text("")
    folder = package_model(run / "model.pt", tmp_path / "there")
    assert not (folder / "old").exists()


@pytest.mark.parametrize(
    ("result", "model", "name", "words"),
    [
        ({"mlflow_run_id": None}, True, "a", "expected a tracked training"),
        ({}, False, "a", "expected a folder with model.pt"),
        ({}, True, "a/b", "--name: expected letters"),
        ({"mlflow_run_id": "0" * 32}, True, "a", "expected a store that takes it"),
    ],
)
def test_what_cannot_be_published_says_why(run, tmp_path, result, model, name, words):
    values = json.loads((run / "result.json").read_text()) | result
    (tmp_path / "result.json").write_text(json.dumps(values))
    if model:
        (tmp_path / "model.pt").write_bytes((run / "model.pt").read_bytes())
    with pytest.raises(InputError, match=words):
        publish(tmp_path, name=name)


def test_the_command_has_an_example():
    from click.testing import CliRunner

    told = CliRunner().invoke(main, ["publish", "--help"]).output
    assert "autoreg publish runs/hippocampus/search-1/train --name hippocampus" in told
