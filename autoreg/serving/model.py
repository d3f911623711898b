"""A trained model behind MLflow's own interface: pairs in, warped images and displacements out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import torch

from autoreg.errors import InputError
from autoreg.evaluation.files import register_arrays, register_files
from autoreg.metrics import folds_percent
from autoreg.registration.model import load_model
from autoreg.serving.package import ARTIFACT
from autoreg.shapes import Displacement
from autoreg.spatial import warp


class RegistrationModel(mlflow.pyfunc.PythonModel):  # type: ignore[reportPrivateImportUsage]
    """Registers a pair, or the pairs of a table.

    A pair is a mapping with `fixed` and `moving`: both arrays (i, j[, k]) of one grid, matched voxel by voxel, or both
    NIfTI files, matched as `autoreg register` does. What comes back has `warped`, the moving image on the fixed grid,
    (*s); `displacement`, (d, *s), voxels, components in axis order: warped(x) = moving(x + u(x)); `folds_percent`.

    Example:
        model = mlflow.pyfunc.load_model("models:/brains/1")
        model.predict({"fixed": fixed, "moving": moving})["warped"]
    """

    _skip_type_hint_validation = (
        True  # a switch of MLflow's: its schemas know no volumes, and it would advise to write one
    )

    def load_context(self, context: Any) -> None:
        """Open model.pt; nothing is unpickled but tensors and plain values."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = load_model(Path(context.artifacts[ARTIFACT]), device=device)

    def predict(self, context, model_input):  # MLflow would take a type hint for a schema
        """A mapping for one pair, a list of them for a table (columns `fixed` and `moving`) or a list of pairs.

        A pair may also have `refine`: steps of instance optimisation.

        Raises:
            InputError: if a pair is incomplete or cannot be used.
        """
        if isinstance(model_input, pd.DataFrame):
            model_input = model_input.to_dict("records")
        if isinstance(model_input, Mapping):
            return self._register(model_input)
        return [self._register(pair) for pair in model_input]

    def _register(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        missing = [name for name in ("fixed", "moving") if name not in pair]
        if missing:
            raise InputError(f"predict: expected fixed and moving, got no {missing[0]}")
        fixed, moving, refine = pair["fixed"], pair["moving"], int(pair.get("refine", 0))
        if isinstance(fixed, (str, Path)) != isinstance(moving, (str, Path)):
            raise InputError("predict: expected two arrays or two files, got one of each")
        if isinstance(fixed, (str, Path)):
            device = next(self.model.network.parameters()).device
            found = register_files(self.model, fixed, moving, refine=refine, device=device)
            return _outcome(found.moving, found.displacement)
        fixed, moving = np.asarray(fixed, dtype=np.float32), np.asarray(moving, dtype=np.float32)
        return _outcome(moving, register_arrays(self.model, fixed, moving, refine=refine))


def _outcome(moving: np.ndarray, displacement: Displacement) -> dict[str, Any]:
    warped = warp(torch.from_numpy(moving)[None, None], displacement)[0, 0]
    return {
        "warped": warped.numpy(),
        "displacement": displacement[0].numpy(),
        "folds_percent": folds_percent(displacement),
    }
