"""A trained model in one file: network, weights, and what is needed to use them; no search code."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoreg.errors import InputError
from autoreg.files import whole_file
from autoreg.networks import build_network

FORMAT = 1
KEYS = ("network", "weights", "data", "labels", "loss_weights", "common_affine")


@dataclass(frozen=True)
class Model:
    """A network ready to register, and how its images were prepared."""

    network: nn.Module
    description: Mapping[str, Any]
    """As `networks.build_network` takes it."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Preparation of the training images: `foreground` and `percentiles` of DataConfig."""
    labels: Mapping[int, str] = field(default_factory=dict)
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    common_affine: bool = True
    """Whether all training volumes shared one voxel-to-world matrix. If not, headers were not used to match them."""
    terms: Sequence[Mapping[str, Any]] = ()
    """What the loss weights belong to: plain values of `registration.space.Term`; empty in older files."""
    halvings: int | None = None
    """How many coarser grids refinement begins on, as validation pairs asked for; None: not measured."""

    @property
    def multiple(self) -> int:
        return int(self.network.multiple)  # type: ignore[arg-type]


def save_model(
    path: Path,
    *,
    description: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    data: Mapping[str, Any],
    labels: Mapping[int, str],
    loss_weights: Mapping[str, float],
    common_affine: bool,
    terms: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write model.pt, whole or not at all. Raises StorageError."""
    content = {
        "format": FORMAT,
        "version": _version(),
        "network": dict(description),
        "weights": dict(weights),
        "data": dict(data),
        "labels": dict(labels),
        "loss_weights": dict(loss_weights),
        "common_affine": common_affine,
        "terms": [dict(term) for term in terms],
    }
    _write(path, content)


def load_model(path: Path, *, device: torch.device | None = None) -> Model:
    """A model from model.pt or the folder that holds it. Nothing is unpickled but tensors and plain values.

    Raises:
        InputError: when the file is missing, torn, of another format, or its weights do not fit.
    """
    path = Path(path)
    file = path / "model.pt" if path.is_dir() else path
    if not file.exists():
        raise InputError(f"{file}: no such model; expected a model.pt or a folder with one, written by autoreg train")
    try:
        content = torch.load(file, weights_only=True, map_location=device or "cpu")
    except Exception as error:  # torch reports a torn or foreign file by many kinds of exception
        raise InputError(f"{file}: not a readable model file ({type(error).__name__})") from error
    if not isinstance(content, dict) or ("network" not in content and content.get("format") in (None, FORMAT)):
        raise InputError(f"{file}: no model of AutoReg; expected a model.pt written by autoreg train")
    if content.get("format") != FORMAT:
        got = f"{content.get('format')}, written by {_writer(content)}"
        raise InputError(f"{file}: format: expected {FORMAT}, got {got}; train again, or use the version that wrote it")
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise InputError(f"{file}: missing {', '.join(missing)}")
    try:
        network = build_network(content["network"])
        network.load_state_dict(content["weights"])
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except RuntimeError as error:
        raise InputError(f"{file}: weights do not fit the network: {str(error).splitlines()[0]}") from error
    network = network.to(device or "cpu").eval()
    return Model(
        network=network,
        description=content["network"],
        data=content["data"],
        labels={int(k): v for k, v in content["labels"].items()},
        loss_weights=content["loss_weights"],
        common_affine=bool(content["common_affine"]),
        terms=content.get("terms", ()),
        halvings=_halvings(file, content.get("halvings")),
    )


def keep_halvings(path: Path, halvings: int) -> None:
    """Write into model.pt, or that of a folder, what validation pairs asked for. Raises StorageError."""
    file = path / "model.pt" if path.is_dir() else path
    _write(file, torch.load(file, weights_only=True, map_location="cpu") | {"halvings": halvings})


def _halvings(file: Path, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise InputError(f"{file}: halvings: expected a whole number from 0 on, got {value!r}")


def _write(path: Path, content: Mapping[str, Any]) -> None:
    packed = io.BytesIO()  # torch's own writer ends the process on a full disk
    torch.save(content, packed)
    with whole_file(path) as file:
        file.write(packed.getbuffer())


def _version() -> str:
    try:
        return metadata.version("autoreg")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def _writer(content: Mapping[str, Any]) -> str:
    return f"AutoReg {content['version']}" if "version" in content else "another version of AutoReg"
