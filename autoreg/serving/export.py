"""A trained network as a graph that needs no code of ours, in a folder laid out as MONAI's bundles are."""

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoreg.errors import AutoRegError, InputError
from autoreg.files import result_file
from autoreg.registration.model import Model, load_model
from autoreg.search.run import read_result
from autoreg.serving.card import model_card
from autoreg.tracking.provenance import standard_tags

TOLERANCE = 1e-3
"""Largest difference to the network, voxels, with which an export is kept."""


def export_model(model_folder: Path, output: Path, *, shape: Sequence[int]) -> dict[str, Any]:
    """Write a bundle with the network as a `torch.export` program, checked against the network; returns what to tell.

    OUTPUT/models/model.pt2 takes fixed and moving image (1, 1, *shape), float32 in 0 to 1, and gives the displacement
    (1, d, *shape) in voxels; OUTPUT/configs/metadata.json and docs/README.md say the rest.

    Args:
        shape: voxels by axis; the graph is made for images of this size. Multiples of the model's.

    Raises:
        InputError: no such model, a shape that does not suit it, or a folder that holds something.
        AutoRegError: the graph differs from the network by more than 1e-3 voxels; nothing is written.
        StorageError: a file cannot be written; nothing is left.
    """
    model, shape = load_model(model_folder), tuple(shape)
    _check(model, shape, output)
    network = _Displacement(model.network).eval()
    example, other = (_pair(shape, seed) for seed in (0, 1))
    with torch.no_grad():
        # Called before it is traced: functions that remember results by shape must remember tensors, not their traces.
        expected = network(*other)
        program = torch.export.export(network, example)
    packed = io.BytesIO()  # torch's own writer ends the process on a full disk
    torch.export.save(program, packed)
    with torch.no_grad():
        packed.seek(0)
        found = torch.export.load(packed).module()(*other)
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE:
        raise AutoRegError(f"{output}: export: differs from the network by {difference:.3g} voxels; nothing was kept")
    source = model_folder if model_folder.is_dir() else model_folder.parent
    try:
        _write(output / "models" / "model.pt2", packed.getbuffer())
        _write(output / "models" / "model.pt", (source / "model.pt").read_bytes())
        _describe(model, source, output, shape, difference)
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)  # a part of a bundle is none, and would be in the way of the next
        raise
    largest = float(expected.abs().max())
    return {
        "bundle": output,
        "shape": " x ".join(map(str, shape)),
        "largest difference": f"{difference:.3g} voxels, of displacements up to {largest:.3g}",
    }


class _Displacement(nn.Module):
    """The network with one tensor as its result."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        return self.network(fixed, moving).displacement


def _check(model: Model, shape: tuple[int, ...], output: Path) -> None:
    network: Mapping[str, Any] = model.description.get("genotype", model.description)
    dims = network.get("architecture", {}).get("dims", 3)
    if len(shape) != dims or any(size < 1 or size % model.multiple for size in shape):
        raise InputError(f"--shape: expected {dims} multiples of {model.multiple}, got {','.join(map(str, shape))}")
    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output}: expected a new folder, got one that holds files")


def _pair(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    fixed, moving = torch.rand(2, 1, 1, *shape, generator=generator)
    return fixed, moving


def _describe(model: Model, source: Path, output: Path, shape: tuple[int, ...], difference: float) -> None:
    result = read_result(source) if (source / "result.json").exists() else {}
    metadata = _metadata(model, result, shape, difference)
    _write(output / "configs" / "metadata.json", json.dumps(metadata, indent=2).encode() + b"\n")
    _write(output / "docs" / "README.md", model_card(model, result, shape, difference).encode())


def _write(path: Path, content: bytes | memoryview) -> None:
    with result_file(path) as file:
        file.write(content)


def _metadata(model: Model, result: Mapping[str, Any], shape: tuple[int, ...], difference: float) -> dict[str, Any]:
    """As MONAI's bundles have it, as far as it is known."""
    common = {"type": "image", "spatial_shape": list(shape), "dtype": "float32", "is_patch_data": False}
    image = common | {"format": "magnitude", "modality": "any", "num_channels": 1, "value_range": [0, 1]}
    image |= {"channel_def": {"0": "image"}}
    axes = {str(axis): f"displacement along axis {axis}, voxels" for axis in range(len(shape))}
    field = common | {"format": "displacement", "num_channels": len(shape), "value_range": [], "channel_def": axes}
    return {
        "version": standard_tags()["version.autoreg"],
        "changelog": {},
        "pytorch_version": torch.__version__,
        "numpy_version": np.__version__,
        "required_packages_version": {},
        "task": "deformable registration of two images",
        "description": f"Trained by AutoReg on {result.get('dataset', 'an unknown data set')}",
        "authors": "",
        "copyright": "",
        "data_source": {"name": result.get("dataset"), "sha256": result.get("dataset_hash")},
        "eval_metrics": result.get("metrics") or {},
        "preparation": dict(model.data),
        "export": {"format": "torch.export", "largest_difference_voxels": difference},
        "network_data_format": {"inputs": {"fixed": image, "moving": image}, "outputs": {"pred": field}},
    }
