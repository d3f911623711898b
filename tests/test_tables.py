"""Tables that are read while a run writes them."""

from threading import Event, Thread

import pandas as pd
import pytest

from autoreg.files import whole_file
from autoreg.tables import load_table


@pytest.fixture
def growing(tmp_path):
    """A table of n rows that all hold n, which a thread keeps replacing by a shorter or longer one."""
    path, end = tmp_path / "history.parquet", Event()

    def write(rows: int) -> None:
        with whole_file(path) as file:
            pd.DataFrame({"round": range(rows), "rows": [rows] * rows}).to_parquet(file, index=False)

    def keep_writing() -> None:
        while not end.is_set():
            for rows in range(1, 60):
                write(rows)

    write(1)
    writer = Thread(target=keep_writing)
    writer.start()
    yield path
    end.set()
    writer.join()


def test_a_table_is_of_one_moment(growing):
    for _ in range(400):
        frame = load_table(growing)
        assert frame["rows"].eq(len(frame)).all()
