"""Native code that may crash, in a process of its own."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from autoreg.errors import AutoRegError


def in_own_process(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` (a function of a module) returns, done in a new process.

    Raises:
        AutoRegError: the process died, as by a segmentation fault; this one lives on.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool as error:
            raise AutoRegError(f"{name}: its process died, as native code does in a crash; try again") from error
