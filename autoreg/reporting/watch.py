"""What a person sees while a command works."""

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

    def counter(self, description: str) -> Callable[..., None]:
        """A function to call with (done, total) as work gets done; the bar opens at the first call."""
        seen = 0
        advance: Callable[..., None] | None = None

        def count(done: int, total: int, row: Mapping[str, Any] | None = None) -> None:
            nonlocal seen, advance
            if advance is None:
                seen = done - 1
                advance = self._stack.enter_context(progress(total - seen, self.name or description, quiet=self.quiet))
            advance(done - seen)
            seen = done
            if done >= total:
                self.close()

        return count

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._stack.close()
