"""What `import autoreg as ar` offers: the commands as functions, and registration of arrays.

Each name is listed in `autoreg/__init__.py`. Errors are those of `autoreg.errors`: InputError for what the caller
gave, others for what failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from autoreg import experiment, registering, tuning
from autoreg.choice import choose
from autoreg.config import Config
from autoreg.config import load_config as _load_config
from autoreg.evaluation.files import register_arrays
from autoreg.metrics import folds_percent
from autoreg.mirror import working_folder
from autoreg.records import track_comparison
from autoreg.registration.model import Model
from autoreg.registration.model import load_model as _load_model
from autoreg.registration.score import warp_labels
from autoreg.reporting.compare import compare_runs
from autoreg.reporting.comparison import Comparison
from autoreg.reporting.figures import overlay, png_bytes
from autoreg.reporting.notebook import facts_html, picture_html
from autoreg.reporting.watch import Watch
from autoreg.result import Result
from autoreg.spatial import invert
from autoreg.spatial import warp as _warp
from autoreg.storage import as_location
from autoreg.transforms.apply import apply_file

PathLike = str | Path


def load_config(path: PathLike | None = None, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a YAML file, or the defaults, with `key.key=value` on top.

    Raises:
        ConfigError: for an unknown key (with the nearest known one) or a wrong value.

    Example:
        config = ar.load_config("launchers/configs/hippocampus.yaml", ["train.steps=2000", "workers.count=2"])
    """
    return _load_config(_path(path), overrides)


def search(
    config: Config | None = None,
    *,
    dataset: PathLike,
    output: PathLike,
    resume: bool = False,
    quiet: bool = True,
) -> Result:
    """Search architecture and loss weights together with the network's weights.

    Args:
        config: the defaults if None.
        dataset: a dataset.json; a path or a URI.
        output: folder for the results; for a URI the local copy is what the result reads.
        resume: go on from the last saved round of `output`.
        quiet: without a progress bar.

    Returns:
        The result, which `train` takes.

    Raises:
        InputError: before any work starts, if configuration or data cannot be used.
        WorkerError, DivergedError: the search stopped; `resume=True` goes on.

    Example:
        found = ar.search(dataset="mydata/dataset.json", output="runs/search")
    """
    options = {"dataset": as_location(dataset), "resume": resume, "watch": Watch(quiet=quiet)}
    with working_folder(as_location(output)) as folder:
        return Result(experiment.search(config or Config(), output=folder, **options))


def train(
    network: Result | PathLike,
    config: Config | None = None,
    *,
    dataset: PathLike,
    output: PathLike,
    resume: bool = False,
    quiet: bool = True,
) -> Result:
    """Train a network from scratch.

    Args:
        network: the result of a search (or its folder), or the name of a network such as "all-conv3" or "voxelmorph".
        config: that of the search, or the defaults, if None.
        dataset: as in `search`, and so are `output`, `resume` and `quiet`.

    Returns:
        The result; its `model` registers.

    Raises:
        InputError, WorkerError, DivergedError: as `search`.

    Example:
        trained = ar.train(found, dataset="mydata/dataset.json", output="runs/train")
    """
    folder = network.folder if isinstance(network, Result) else Path(network)
    searched = isinstance(network, Result) or folder.is_dir()
    if config is None:
        config = load_config(folder / "config.yaml") if searched else Config()
    choice = choose(config, search_folder=folder) if searched else choose(config, network=str(network))
    options = {"dataset": as_location(dataset), "resume": resume, "watch": Watch(quiet=quiet)}
    with working_folder(as_location(output)) as written:
        return Result(experiment.train(config, choice, output=written, **options))


def tune(
    config: Config | None = None, *, dataset: PathLike, output: PathLike, resume: bool = False, quiet: bool = True
) -> Result:
    """Manual tuning as people do it, by full trainings that Ray Tune and Optuna choose; arguments as `search`.

    Raises:
        InputError: before any work starts, if configuration or data cannot be used.
        AutoRegError: if no trial gave a model.
    """
    options = {"dataset": as_location(dataset), "resume": resume, "watch": Watch(quiet=quiet)}
    with working_folder(as_location(output)) as folder:
        return Result(tuning.tune(config or Config(), output=folder, **options))


def evaluate(
    model: Result | PathLike,
    *,
    dataset: PathLike,
    split: Literal["train", "val", "test"] = "test",
    output: PathLike | None = None,
    refine: int = 0,
    quiet: bool = True,
) -> Result:
    """Score a trained model on the pairs of a split: Dice, HD95 (mm), folds, by pair and label in `pairs`.

    Args:
        model: the result of a training or study, or its folder.
        output: folder for the scores; by default inside that of the model.
        refine: steps of instance optimisation on each pair.

    Raises:
        InputError: no such model, no pairs in the split, or data that cannot be used.
    """
    folder = model.folder if isinstance(model, Result) else Path(model)
    written = experiment.evaluate(
        folder,
        dataset=as_location(dataset),
        split=split,
        output=_path(output),
        refine=refine,
        watch=Watch(quiet=quiet),
    )
    return Result(written)


def compare(runs: Sequence[Result | PathLike], *, output: PathLike) -> Comparison:
    """Quality against device-seconds of evaluated trainings and studies; the first is what the others are held against.

    `output` then has the table (CSV, Markdown), the curve (PNG) and a page (HTML).

    Raises:
        InputError: if a run was not evaluated, or not on the same pairs.
    """
    folders = [run.folder if isinstance(run, Result) else Path(run) for run in runs]
    comparison = compare_runs(folders, output=Path(output))
    track_comparison(folders, comparison)
    return comparison


def load_model(model: Result | PathLike, *, device: str | torch.device | None = None) -> Model:
    """A trained model from its result, folder or file; on a GPU if there is one, unless `device` says where.

    Raises:
        InputError: if there is no such model, or its file is torn.
    """
    folder = model.folder if isinstance(model, Result) else Path(model)
    return _load_model(folder, device=torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))


@dataclass(frozen=True)
class Registered:
    """Two registered arrays: warped(x) = moving(x + u(x)) for voxels x of the fixed image.

    Attributes:
        fixed: raw intensities, (*s).
        moving: raw intensities, (*s).
        displacement: u, (d, *s), float32, voxels, components in axis order.
    """

    fixed: np.ndarray
    moving: np.ndarray
    displacement: np.ndarray

    @cached_property
    def warped(self) -> np.ndarray:
        """The moving image on the fixed grid, (*s), float32."""
        return warp(self.moving, self.displacement)

    @cached_property
    def inverse(self) -> np.ndarray:
        """Displacement the other way, (d, *s): fixed(x + w(x)) looks like moving(x). Where u folds there is none."""
        return invert(torch.from_numpy(self.displacement)[None])[0].numpy()

    @property
    def folds_percent(self) -> float:
        """Voxels around which the displacement folds, in percent."""
        return folds_percent(torch.from_numpy(self.displacement)[None])

    def _repr_html_(self) -> str:
        """What a notebook shows: the pair before and after, and the deformation."""
        length = np.linalg.norm(self.displacement, axis=0)
        facts = {"shape": self.fixed.shape, "mean displacement (voxels)": float(length.mean())}
        facts |= {"largest (voxels)": float(length.max()), "folds (percent)": self.folds_percent}
        figure = overlay(self.fixed, self.moving, self.warped, self.displacement)
        alt = "Fixed, moving and warped image, differences, deformation grid and Jacobian"
        return facts_html("Registered", facts) + picture_html(png_bytes(figure), alt)


def register(model: Model | Result | PathLike, fixed: np.ndarray, moving: np.ndarray, *, refine: int = 0) -> Registered:
    """The moving image registered to the fixed, both arrays of one grid; nothing has to be prepared.

    Args:
        fixed: raw intensities, (i, j) or (i, j, k), any size; 0 is background where the model was trained so.
        moving: the same shape; matched voxel by voxel. For files with headers there is `register_files`.
        refine: steps of instance optimisation on this pair.

    Raises:
        InputError: if the shapes differ, are not of the model's dimensions, or an image is constant.

    Example:
        pair = ar.register(trained, fixed, moving)
        pair.warped, pair.displacement, ar.warp(labels, pair.displacement, labels=True)
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    fixed, moving = np.asarray(fixed, dtype=np.float32), np.asarray(moving, dtype=np.float32)
    return Registered(fixed, moving, register_arrays(loaded, fixed, moving, refine=refine)[0].numpy())


def register_files(
    model: Model | Result | PathLike,
    fixed: PathLike,
    moving: PathLike,
    *,
    warped: PathLike | None = None,
    transform: PathLike | None = None,
    inverse: PathLike | None = None,
    labels: PathLike | None = None,
    warped_labels: PathLike | None = None,
    grid: Literal["auto", "headers", "voxels"] = "auto",
    refine: int = 0,
) -> dict[str, Any]:
    """Two NIfTI files registered by their headers; results have the fixed image's geometry.

    Args:
        warped: where to write the warped moving image.
        transform: where to write the transform; its name says the form: .nii.gz (ITK, ANTs), .h5 (ITK),
            .fsl.nii.gz (FSL), .npz (numpy).
        inverse: where to write the inverse, in the moving image's geometry.
        labels: label map of the moving image, written to `warped_labels`.
        grid: match the two by headers or voxel by voxel; "auto" does as the training data did.
        refine: steps of instance optimisation on this pair.

    Returns:
        What was written, folds (percent) and seconds.

    Raises:
        InputError: if a file cannot be used or a name says no form.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    return registering.register(
        loaded,
        Path(fixed),
        Path(moving),
        warped=_path(warped),
        transform=_path(transform),
        inverse=_path(inverse),
        labels=_path(labels),
        warped_labels=_path(warped_labels),
        grid=grid,
        refine=refine,
    )


def apply_transform(
    transform: PathLike, file: PathLike, output: PathLike, *, reference: PathLike | None = None, labels: bool = False
) -> dict[str, Any]:
    """A written transform applied to an image, a label map (`labels`) or landmarks (.csv), as `autoreg apply` does.

    Images come from moving to fixed space, landmarks go from fixed to moving space.

    Args:
        reference: image whose grid the result has; by default the transform's.

    Raises:
        InputError: if a file cannot be used or does not fit to the others.
    """
    return apply_file(Path(transform), Path(file), Path(output), reference=_path(reference), labels=labels)


def warp(moving: np.ndarray, displacement: np.ndarray, *, labels: bool = False) -> np.ndarray:
    """An array seen on the fixed grid: warped(x) = moving(x + u(x)), (*s); 0 outside.

    Args:
        moving: intensities (linear, float32), or label numbers with `labels` (nearest neighbour, int16).
        displacement: u, (d, *s), voxels, components in axis order.

    Raises:
        ValueError: if the number of components is not the number of axes.
    """
    u = torch.from_numpy(np.asarray(displacement, dtype=np.float32))[None]
    if labels:
        return warp_labels(np.asarray(moving), u)
    return _warp(torch.from_numpy(np.asarray(moving, dtype=np.float32))[None, None], u)[0, 0].numpy()


def _path(given: PathLike | None) -> Path | None:
    return None if given is None else Path(given)
