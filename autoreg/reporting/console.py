"""What a terminal shows: tables, and progress with the time left."""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

_PLAIN_SHARE = 0.05


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str] | None = None) -> Table:
    """A table for `rich.print`: numbers to the right, four significant digits, missing values as a dash."""
    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    result = Table(header_style="bold")
    for name in names:
        numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
        result.add_column(Text(name), justify="right" if numeric else "left")
    for row in rows:
        result.add_row(*(Text(cell(row.get(name))) for name in names))
    return result


def as_text(shown: Table) -> str:
    """A table as plain lines, as wide as it needs to be."""
    console = Console(file=io.StringIO(), width=1000, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def cell(value: object) -> str:
    """A value as short text; None and NaN are a dash."""
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


@contextmanager
def progress(
    total: int, description: str, *, quiet: bool = False, since: float | None = None
) -> Iterator[Callable[..., None]]:
    """A bar with the time left on a terminal, a plain line after the first step and every 5 % elsewhere;
    both on stderr.

    Example:
        >>> with progress(len(pairs), "evaluate") as advance:
        ...     for pair in pairs:
        ...         advance()

    `advance(steps, detail)` also shows a few words on how it goes. `since`: when the first step began (monotonic),
    for a bar that opens after it.
    """
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield _plain(console, total, description, since)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    detail = TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), detail, console=console, disable=quiet) as bar:
        task = bar.add_task(description, total=total, detail="")
        yield lambda steps=1, detail="": bar.update(task, advance=steps, detail=detail)


def _plain(console: Console, total: int, description: str, since: float | None) -> Callable[..., None]:
    start, done, said = time.monotonic() if since is None else since, 0, -1.0

    def advance(steps: int = 1, detail: str = "") -> None:
        nonlocal done, said
        done += steps
        share = done / total
        if share - said >= _PLAIN_SHARE - 1e-9 or done == total:
            said = share
            spent = time.monotonic() - start
            left = spent / done * (total - done)
            line = f"{description} {done}/{total} ({share:.0%}), {clock(spent)} spent, about {clock(left)} left"
            console.print(Text(f"{line}; {detail}" if detail else line), soft_wrap=True)

    return advance


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
