"""A run's folder in a store: a local folder to work in, the same files below the URI.

The store has each file under its own name, and `mirror.json`: what every file is or, while some are being replaced,
what it was before. So whoever reads can tell a file that belongs from one that was cut short or is somebody else's.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from autoreg.errors import BusyError, InputError, StorageError
from autoreg.files import alone, whole_file
from autoreg.storage import Location, Store, copy_folder, is_uri, safe_names

logger = logging.getLogger(__name__)
MANIFEST = "mirror.json"
_ABSENT = ""
_LOCAL_SUFFIXES = (".lock", ".tmp", ".partial", ".open.json")
_LOCAL_FOLDERS = ("tune",)
"""Ray Tune's own files, which nothing reads afterwards."""
_FIRST = "cost.jsonl"
"""A round must not be in the result and missing in the books."""

Checks = dict[str, list[str]]
"""Name -> SHA-256 of the contents that the file may have; empty text stands for no file."""


@contextmanager
def working_folder(place: Location, *, write: bool = True) -> Iterator[Path]:
    """The folder itself, or the local one for a URI: brought level with the store first, the store with it afterwards.

    What happens to be newer wins: another machine may have gone on, or this one was cut off from the store.

    Args:
        write: without it the store is only read, and a folder that a process here works in is taken as it is.

    Raises:
        BusyError: another process of this machine works in it.
        InputError: the store holds files that do not belong.
        StorageError: the store does not answer.
    """
    if not is_uri(place):
        yield Path(place)
        return
    uri, folder = str(place), copy_folder("runs", str(place))
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(folder.with_suffix(".lock"), uri))
        except BusyError:
            if write:
                raise
            yield folder
            return
        mirror = Mirror(uri, folder)
        mirror.pull()
        if write:
            _open_mirrors[folder] = mirror
            stack.callback(_open_mirrors.pop, folder)
        yield folder
        if write:
            mirror.push()


def share(folder: Path) -> None:
    """Bring the store level with what a run has kept; nothing where the folder is no store's.

    Raises:
        StorageError: the store does not take it, or another machine works there; what is here stays.
    """
    for root, mirror in _open_mirrors.items():
        if folder.resolve().is_relative_to(root):
            mirror.push()


def known_as(folder: Path) -> Location:
    """What a user calls a folder: the URI that it stands for, or its path."""
    for root, mirror in _open_mirrors.items():
        if folder.resolve() == root:
            return mirror.uri
    return folder


_open_mirrors: dict[Path, "Mirror"] = {}


@dataclass
class _Known:
    """What this machine knows the store to have; kept beside the folder."""

    stamps: list[str | None] = field(default_factory=lambda: [None])
    """Of the last push that came from here or was read: two while it is not known whether the last one arrived."""
    files: dict[str, list] = field(default_factory=dict)
    """Name -> SHA-256, size, time (ns) of a file that both have."""


class Mirror:
    """One folder and the place in a store that has the same files. One process at a time pushes."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri, self.folder = uri, folder
        self._store = Store(uri)
        self._record = folder.with_suffix(".json")
        self._known = _read_known(self._record)
        self._failed = False

    def pull(self) -> None:
        """Take over what the store has, if it is not what came from here.

        A file that is here already is not fetched again, so a pull that was stopped goes on.
        """
        manifest = self._manifest()
        if manifest is None:  # never anything, or nothing any more: all is to be sent
            self._known = _Known()
            return
        if manifest.stamp in self._known.stamps:
            return
        files = {}
        for name, checks in safe_names(manifest.files, self.uri).items():
            path = self.folder / name
            found = _check(path)
            if found not in checks:
                found = self._fetch(name, path, checks)
            if found != _ABSENT:
                files[name] = [found, *_state(path)]
        for name in set(_files(self.folder)) - set(files):
            (self.folder / name).unlink()
        self._keep(_Known([manifest.stamp], files))

    def push(self) -> None:
        """Send what changed since the last time, oldest first, and remove what is gone.

        Raises:
            StorageError: the store does not take it, or another process pushed meanwhile.
        """
        if self._failed:  # the run is ending for that reason
            return
        now = {name: state for name in _files(self.folder) if (state := _state(self.folder / name))}
        changed = [name for name, state in now.items() if self._known.files.get(name, [None])[1:] != state]
        gone = [name for name in self._known.files if name not in now]
        if not changed and not gone:
            return
        self._failed = True
        self._push(now, sorted(changed, key=lambda name: (name != _FIRST, now[name][1])), gone)
        self._failed = False

    def _push(self, now: Mapping[str, list], changed: list[str], gone: list[str]) -> None:
        before = self._manifest() or _Manifest(None, {})
        if before.stamp not in self._known.stamps:
            raise StorageError(
                f"{self.uri}: write: expected this process to be the only one there, got files of another"
            )
        stamp = uuid.uuid4().hex
        sent = {name: [_check(self.folder / name), *now[name]] for name in changed}
        settled = {name: [entry[0]] for name, entry in (self._known.files | sent).items() if name not in gone}
        unsettled = {name: before.files.get(name, [_ABSENT]) for name in [*changed, *gone]}
        self._keep(_Known([before.stamp, stamp], self._known.files))
        self._announce(
            stamp,
            {name: settled.get(name, [_ABSENT]) + old for name, old in unsettled.items()}
            | {name: checks for name, checks in settled.items() if name not in unsettled},
        )
        for name in changed:
            content = _content(self.folder / name)
            if content is not None and hashlib.sha256(content).hexdigest() == sent[name][0]:
                self._store.write(name, content)
            else:  # a trial's own process wrote it again, or removed it: next time
                settled[name] += unsettled[name]
                del sent[name]
        for name in gone:
            self._store.remove(name)
        self._announce(stamp, settled)
        kept = {name: entry for name, entry in (self._known.files | sent).items() if name not in gone}
        self._keep(_Known([stamp], kept))

    def _announce(self, stamp: str, files: Checks) -> None:
        text = json.dumps({"stamp": stamp, "files": {name: list(dict.fromkeys(files[name])) for name in sorted(files)}})
        self._store.write(MANIFEST, text.encode())

    def _manifest(self) -> "_Manifest | None":
        content = self._store.read(MANIFEST)
        if content is None:
            return None
        try:
            values = json.loads(content)
            return _Manifest(str(values["stamp"]), {str(k): [str(c) for c in v] for k, v in values["files"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{self.uri}/{MANIFEST}: expected the list of a run's files, got: {error!r}") from error

    def _fetch(self, name: str, path: Path, checks: list[str]) -> str:
        """The check of the file that is here now."""
        content = self._store.read(name)
        found = _ABSENT if content is None else hashlib.sha256(content).hexdigest()
        if found not in checks:
            got = "none" if content is None else f"{len(content)} bytes with another one"
            raise InputError(f"{self.uri}/{name}: read: expected a file with the checksum in {MANIFEST}, got {got}")
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                file.write(content)
        return found

    def _keep(self, known: _Known) -> None:
        self._known = known
        with whole_file(self._record) as file:
            file.write(json.dumps({"stamps": known.stamps, "files": known.files}).encode())


@dataclass(frozen=True)
class _Manifest:
    stamp: str | None
    files: Mapping[str, list[str]]


def _read_known(path: Path) -> _Known:
    try:
        values = json.loads(path.read_text())
        return _Known(values["stamps"], values["files"])
    except (OSError, ValueError, KeyError):  # none yet, or torn: the store's files are compared then
        return _Known()


def _files(folder: Path) -> Iterator[str]:
    """Names of those that a store has too."""
    for path in sorted(folder.rglob("*")):
        local = path.name.endswith(_LOCAL_SUFFIXES) or path.relative_to(folder).parts[0] in _LOCAL_FOLDERS
        if not local and path.is_file():
            yield path.relative_to(folder).as_posix()


def _state(path: Path) -> list[int]:
    """Size and time; empty where there is no file."""
    with suppress(FileNotFoundError):
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns]
    return []


def _check(path: Path) -> str:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return _ABSENT


def _content(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None
