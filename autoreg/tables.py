"""Tables that a run replaces while others read them."""

from io import BytesIO
from pathlib import Path

import pandas as pd


def load_table(path: Path) -> pd.DataFrame:
    """A Parquet table as it was at one moment.

    Pandas opens a path more than once, and mixes two tables when a run puts the next one in its place in between.

    Raises:
        OSError, ValueError: it cannot be read, or is no Parquet table.
    """
    return pd.read_parquet(BytesIO(path.read_bytes()))
