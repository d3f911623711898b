"""Files that are written whole or not at all, and locks between processes of one machine."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from autoreg.errors import BusyError, InputError, StorageError

logger = logging.getLogger(__name__)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends well; it is on disk then.

    Raises:
        StorageError: it cannot be written; what was at `path` is still there.
    """
    temporary = path.with_name(path.name + ".tmp")
    with storing(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def result_file(path: Path) -> Iterator[BinaryIO]:
    """`whole_file` at a place that a user named: its folder is made, links and devices stay what they are.

    Raises:
        InputError: the folder is a file.
        StorageError: as `whole_file`.
    """
    make_folder(path.parent)
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/stdout, a pipe
        with storing(path), path.open("wb") as file:
            yield file
        return
    with whole_file(path.resolve() if path.is_symlink() else path) as file:
        yield file


def make_folder(folder: Path) -> None:
    """Make a folder for results, and those above it. Raises InputError for a file's name, StorageError."""
    try:
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except StorageError as error:
        if isinstance(error.__cause__, FileExistsError | NotADirectoryError):
            raise InputError(f"{folder}: expected a folder, got a file") from error
        raise


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Turns what the system says of a full disk and the like into one line. Raises StorageError."""
    try:
        yield
    except OSError as error:
        # Libraries put words of their own around the system's, and some the number too.
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        raise StorageError(f"{path}: cannot be written: {reason}") from error


@contextmanager
def in_turn(lock: Path) -> Iterator[None]:
    """Waits for a lock, and holds it; the system drops it when the process ends, however it ends."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(lock: Path, place: object) -> Iterator[None]:
    """Holds the lock of a folder, which the user calls `place`.

    Raises:
        BusyError: another process holds it.
    """
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{place}: another process is working in this folder; wait for its end") from None
        except OSError:  # a file system without locks
            logger.warning("%s: this file system has no locks; take care that one process works there", place)
        yield


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock of `alone`; False also where the file system has no locks."""
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _sync(folder: Path) -> None:
    """A new name is safe against a power failure once its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
