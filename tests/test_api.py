"""`import autoreg as ar`: light, typed, and the same numbers as the command line."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import autoreg as ar
from autoreg.errors import InputError
from autoreg.evaluation.files import register_files
from autoreg.networks import build_network
from autoreg.registration.model import Model, save_model


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_the_import_is_light() -> None:
    assert (
        in_a_fresh_process("import sys, autoreg; print('torch' in sys.modules, 'numpy' in sys.modules)")
        == "False False"
    )


@pytest.mark.parametrize("before", ["", "import autoreg.search.run"])
def test_search_is_the_function_whatever_was_imported_before(before: str) -> None:
    code = f"{before}\nimport autoreg as ar\nfrom autoreg.search.run import read_result\nprint(ar.search.__module__)"
    assert in_a_fresh_process(code) == "autoreg.api"


@pytest.mark.parametrize("name", ar.__all__)
def test_every_name_is_documented_and_typed(name: str) -> None:
    thing = getattr(ar, name)
    assert thing.__doc__ and name in dir(ar)
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not p.empty for p in signature.parameters.values())
        assert "Raises:" in thing.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'autoreg' has no attribute 'serach'"):
        ar.serach  # type: ignore[attr-defined] # noqa: B018


def description(dims: int) -> dict:
    architecture = {"feature_channels": [4, 4], "feature_edges": 1, "deformation_channels": [4], "dims": dims}
    return {"name": "all-conv3", "architecture": architecture}


def moving_model(dims: int) -> Model:
    """Weights that are not those of the start, which moves nothing."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_network(description(dims)).eval()
        for cell in network.deformations:  # type: ignore[union-attr]
            nn.init.normal_(cell.head.weight, std=0.1)  # type: ignore[union-attr]
    return Model(network, description(dims))


def scenes(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    axes = np.meshgrid(*[np.linspace(0, 3, n) for n in shape], indexing="ij")
    return 100 + 50 * np.sin(sum(axes)), 100 + 50 * np.sin(sum(axes) + 0.3)


@pytest.mark.parametrize("shape", [(17, 22), (13, 15, 18)])
def test_arrays_in_arrays_out(shape: tuple[int, ...]) -> None:
    fixed, moving = scenes(shape)
    pair = ar.register(moving_model(len(shape)), fixed, moving)
    assert pair.displacement.shape == (len(shape), *shape) and pair.displacement.dtype == np.float32
    assert pair.warped.shape == shape and np.abs(pair.displacement).max() > 0.01
    np.testing.assert_array_equal(pair.warped, ar.warp(moving, pair.displacement))
    assert 0 <= pair.folds_percent <= 100
    reached = np.indices(shape) + pair.inverse
    inside = ((reached >= 0) & (reached <= np.array(shape).reshape(-1, *[1] * len(shape)) - 1)).all(axis=0)
    there = np.stack([ar.warp(component, pair.inverse) for component in pair.displacement])
    assert inside.mean() > 0.5 and pair.folds_percent == 0
    np.testing.assert_allclose((there + pair.inverse)[:, inside], 0, atol=1e-3)
    assert "<table>" in pair._repr_html_() and "data:image/png" in pair._repr_html_()


def test_arrays_and_files_give_the_same_field(tmp_path: Path) -> None:
    import torch

    from autoreg.data.nifti import write_nifti

    fixed, moving = scenes((13, 15, 18))
    for name, image in (("fixed", fixed), ("moving", moving)):
        write_nifti(tmp_path / f"{name}.nii.gz", image.astype(np.float32), np.eye(4))
    model = moving_model(3)
    files = register_files(model, tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz", device=torch.device("cpu"))
    np.testing.assert_allclose(ar.register(model, fixed, moving).displacement, files.displacement[0], atol=1e-5)


def test_a_warp_known_by_hand() -> None:
    labels = np.arange(5, dtype=np.int16)[:, None] * np.ones((1, 4), dtype=np.int16)
    shift = np.zeros((2, 5, 4))
    shift[0] = 1.0
    assert ar.warp(labels, shift, labels=True)[:, 0].tolist() == [1, 2, 3, 4, 0]
    assert ar.warp(labels, shift / 2)[:, 0].tolist() == [0.5, 1.5, 2.5, 3.5, 2.0]
    with pytest.raises(ValueError, match="expected 3 components"):
        ar.warp(labels, np.zeros((2, 5, 4, 3)))


@pytest.mark.parametrize(
    ("fixed", "moving", "message"),
    [
        (np.ones((8, 8, 8)), np.ones((8, 8, 9)), r"moving: shape: expected the fixed image's \(8, 8, 8\)"),
        (np.eye(8), np.eye(8), "fixed: dimensions: expected 3 as the model's, got 2"),
        (np.ones((8, 8, 8)), np.ones((8, 8, 8)), "fixed: intensities"),
        (np.full((8, 8, 8), np.nan), np.ones((8, 8, 8)), "fixed: voxels: expected finite numbers"),
    ],
)
def test_arrays_that_cannot_be_registered(fixed: np.ndarray, moving: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ar.register(moving_model(3), fixed, moving)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The folder of a training, as far as a result reads it."""
    data = {"foreground": "positive", "percentiles": [0.5, 99.5]}
    weights = build_network(description(3)).state_dict()
    named = {"labels": {1: "one"}, "loss_weights": {"smooth": 1.0}, "common_affine": True}
    save_model(tmp_path / "model.pt", description=description(3), weights=weights, data=data, **named)
    values = {
        "command": "train",
        "status": "finished",
        "metrics": {"val_dice": 0.7512, "folds_percent": None},
        "device_seconds": {"train": 12.4},
        "loss_weights": {"<smooth>": 1.5},
    }
    (tmp_path / "result.json").write_text(json.dumps(values))
    (tmp_path / "figures").mkdir()
    Figure(figsize=(1, 1)).savefig(tmp_path / "figures" / "objectives.png")
    return tmp_path


def test_a_result_reads_its_folder(finished: Path) -> None:
    result = ar.open_result(finished)
    assert result.metrics["val_dice"] == 0.7512 and result.loss_weights == {"<smooth>": 1.5}
    assert repr(result) == f"<train in {finished}, finished: val_dice 0.7512>"
    assert isinstance(result.model, Model) and isinstance(ar.load_model(result, device="cpu"), Model)
    page = result._repr_html_()
    assert "0.7512" in page and "weight of &lt;smooth&gt;" in page and page.count("<img") == 1 and "train 12" in page
    with pytest.raises(
        InputError, match=r"pairs\.parquet: file: expected a table, got none; this is the folder of a train"
    ):
        _ = result.pairs


def test_a_folder_that_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of an autoreg run"):
        ar.open_result(tmp_path)


def test_configuration_by_overrides() -> None:
    config = ar.load_config(overrides=["train.steps=3"])
    assert isinstance(config, ar.Config) and config.train.steps == 3
    with pytest.raises(InputError, match="roundz"):
        ar.load_config(overrides=["search.roundz=3"])
