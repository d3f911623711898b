"""What a person sees while a command works."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from autoreg.reporting.console import progress


class Watch:
    """Progress bars for the parts of a command, one after the other; silent by default."""

    def __init__(self, *, quiet: bool = True, name: str | None = None) -> None:
        self.quiet, self.name = quiet, name
        self._stack = ExitStack()

    def named(self, name: str) -> "Watch":
        """A watch for a part of a command; its bars are called `name`."""
        return Watch(quiet=self.quiet, name=name)

    def counter(self, description: str, *, first: int = 1) -> Callable[..., None]:
        """A function to call with (done, total) as work gets done; the bar opens at the first call.

        Args:
            first: how much was done between here and the first call; the rest of what it says was done before.
        """
        seen, since = 0, time.monotonic()
        advance: Callable[..., None] | None = None
        known: dict[str, Any] = {}

        def count(done: int, total: int, row: Mapping[str, Any] | None = None) -> None:
            nonlocal seen, advance
            known.update({name: value for name, value in (row or {}).items() if value == value})
            if advance is None:
                seen = max(done - first, 0)
                bar = progress(total - seen, self.name or description, quiet=self.quiet, since=since)
                advance = self._stack.enter_context(bar)
            advance(done - seen, how_it_goes(known))
            seen = done
            if done >= total:
                self.close()

        return count

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._stack.close()


def how_it_goes(row: Mapping[str, Any]) -> str:
    """Dice, loss weights, device-hours, workers, trials: as far as the row has them, in a few words."""
    dice = next((row[name] for name in ("val_dice", "soft_dice") if name in row), None)
    weights = {name.removeprefix("lambda."): row[name] for name in row if name.startswith("lambda.")}
    parts = [
        f"Dice {dice:.3f}" if dice is not None else "",
        "lambda " + ", ".join(f"{name} {value:.3g}" for name, value in weights.items()) if weights else "",
        f"{row['total_device_seconds'] / 3600:.3f} device-hours" if "total_device_seconds" in row else "",
        f"{int(row['workers'])} workers" if "workers" in row else "",
        f"{row['trials_ended']} of {row['trials']} trials ended" if "trials" in row else "",
        f"best score {row['best_score']:.3f}" if "best_score" in row else "",
    ]
    return "; ".join(part for part in parts if part)
