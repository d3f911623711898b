"""Columns of a run's history, drawn over its rounds."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes


def measured(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Rounds in which `column` has a value; none when the column is missing."""
    return history.dropna(subset=[column]) if column in history else history.iloc[:0]


def has(history: pd.DataFrame, column: str) -> bool:
    return len(measured(history, column)) > 0


def draw_column(axes: Axes, history: pd.DataFrame, column: str, **style: Any) -> None:
    rows = measured(history, column)
    if len(rows):
        style = {"marker": "o" if len(rows) <= 25 else None, "markersize": 3, "linewidth": 1.6} | style
        axes.plot(rows["round"], rows[column], **style)


def shade_warm_up(axes: Axes, history: pd.DataFrame) -> None:
    if "phase" in history and (history["phase"] == "warm-up").any():
        rounds = history.loc[history["phase"] == "warm-up", "round"]
        axes.axvspan(rounds.min() - 0.5, rounds.max() + 0.5, color="#999999", alpha=0.15, lw=0, label="warm-up")
