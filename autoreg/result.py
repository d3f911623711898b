"""A run's folder as an object: what `import autoreg` gives back, and what a notebook shows of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from autoreg.errors import InputError
from autoreg.registration.model import Model, load_model
from autoreg.reporting.notebook import facts_html, picture_html
from autoreg.search.run import read_result
from autoreg.tables import load_table

_PICTURES = {
    "overlay": "A registered pair: fixed, moving and warped image, differences, deformation grid",
    "alpha": "Probability of each primitive on each edge",
    "lambda": "Loss weights over the rounds",
    "objectives": "Objectives over the rounds",
}
_SHOWN = 2  # pictures


@dataclass(frozen=True)
class Result:
    """The folder of a search, training, study or evaluation; everything is read from its files when asked for.

    Attributes:
        folder: what the run has written; `docs/architecture.md` lists the files.
    """

    folder: Path

    @property
    def values(self) -> dict[str, Any]:
        """result.json: command, status, seed, seconds by phase, metrics and more."""
        return read_result(self.folder)

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of the run by name, such as val_dice or folds_percent."""
        return self.values.get("metrics") or {}

    @property
    def loss_weights(self) -> dict[str, float] | None:
        """The weight of each term of the loss, if the run has chosen or used some."""
        return self.values.get("loss_weights")

    @property
    def genotype(self) -> dict[str, str] | None:
        """The primitive of each edge, if the run has chosen or used an architecture of cells."""
        return self.values.get("genotype")

    @property
    def history(self) -> pd.DataFrame:
        """A row a round: objectives, alpha, every loss weight, seconds. Raises InputError where there is none."""
        return self._table("history.parquet")

    @property
    def pairs(self) -> pd.DataFrame:
        """A row a pair and label of an evaluation: Dice, HD95 (mm), folds. Raises InputError where there is none."""
        return self._table("pairs.parquet")

    @property
    def model(self) -> Model:
        """The trained model. Raises InputError where there is none."""
        return load_model(self.folder)

    def _table(self, name: str) -> pd.DataFrame:
        path = self.folder / name
        if not path.exists():
            raise InputError(
                f"{path}: file: expected a table, got none; this is the folder of a {self.values['command']}"
            )
        return load_table(path)

    def __repr__(self) -> str:
        values = self.values
        figures = ", ".join(f"{k} {v:.4g}" for k, v in self.metrics.items() if isinstance(v, int | float))
        return f"<{values.get('command')} in {self.folder}, {values.get('status')}: {figures}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: figures and the first pictures."""
        values = self.values
        facts = {"status": values.get("status"), "folder": self.folder, **self.metrics}
        seconds = values.get("device_seconds") or {}
        facts |= {"device-seconds": ", ".join(f"{k} {v:.0f}" for k, v in seconds.items()) or None}
        facts |= {f"weight of {name}": weight for name, weight in (self.loss_weights or {}).items()}
        found = [(self.folder / "figures" / f"{name}.png", alt) for name, alt in _PICTURES.items()]
        pictures = [picture_html(path.read_bytes(), alt) for path, alt in found if path.exists()]
        return facts_html(f"AutoReg {values.get('command')}", facts) + "".join(pictures[:_SHOWN])


def open_result(folder: str | Path) -> Result:
    """The result of a run's folder, whoever started it.

    Raises:
        InputError: if it is no folder of a run.
    """
    result = Result(Path(folder))
    read_result(result.folder)
    return result
