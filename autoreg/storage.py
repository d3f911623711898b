"""Files below a URI: object stores and whatever else pyarrow knows, with patience and one-line errors.

Work is done on local files only; `mirror` and `data.fetched` bring them from a store and back.
"""

import hashlib
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from autoreg.errors import InputError, StorageError
from autoreg.files import storing, whole_file

T = TypeVar("T")
Location = str | Path
"""A local path, or the URI of a file or folder in a store."""

PATIENCE_SECONDS = 120.0
"""How long an operation that fails is tried again; AUTOREG_STORE_PATIENCE says otherwise."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_ANSWER_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
_BLOCK_BYTES = 2**22
_WHOLE_OR_NOT = ("s3", "gcs", "abfs")
"""Stores in which an object appears when it is complete; elsewhere it is written aside and renamed."""
_FINAL = re.compile(
    "ACCESS_DENIED|RESOURCE_NOT_FOUND|NO_SUCH_BUCKET|NO_SUCH_KEY|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT|UNRECOGNIZED_CLIENT"
    "|INVALID_CLIENT_TOKEN|HTTP status 40[0134]|PERMISSION_DENIED|UNAUTHENTICATED"
)
"""What trying again does not change."""
_SECRET = re.compile("key|secret|token|password|sig|credential", re.IGNORECASE)


def as_location(given: str | Path) -> Location:
    """A URI as it is (file:// as the path it means), anything else as a path.

    Raises:
        InputError: a URI with a password or key in it; it would be written down with the run.
    """
    text = str(given)
    if not is_uri(text):
        return Path(given)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.password or any(_SECRET.search(name) for name in parse_qs(parts.query, keep_blank_values=True)):
        bare = urlunsplit((parts.scheme, f"***@{parts.netloc.rpartition('@')[2]}", parts.path, "", ""))
        raise InputError(
            f"{bare}: expected no password or key in it, got one; give it by the environment, for S3 "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE"
        )
    return text


def is_uri(place: Location) -> bool:
    """Whether it names a place in a store, and not a local path."""
    return isinstance(place, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", place) is not None


def inside(place: Location, name: str) -> Location:
    """A file or folder in a folder."""
    if isinstance(place, Path):
        return place / name
    parts = urlsplit(place)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def folder_and_name(uri: str) -> tuple[str, str]:
    """URI of the folder that a file is in, and the file's name."""
    parts = urlsplit(uri)
    folder, _, name = parts.path.rstrip("/").rpartition("/")
    return urlunsplit(parts._replace(path=folder)), name


def local_cache(given: str | None = None) -> Path:
    """Folder for local copies: the first local one of `given`, AUTOREG_CACHE, AUTOREG_NODE_CACHE, ~/.cache/autoreg."""
    options = (given, os.environ.get("AUTOREG_CACHE"), os.environ.get("AUTOREG_NODE_CACHE"))
    return Path(next((o for o in options if o and not is_uri(o)), "~/.cache/autoreg")).expanduser()


def copy_folder(kind: str, uri: str) -> Path:
    """The local folder that stands for a place in a store; its name begins with the place's."""
    parts = urlsplit(uri)
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{parts.netloc}{parts.path}").strip("-")[-60:]
    digest = hashlib.sha256(f"{uri}\0{_endpoint(uri)}".encode()).hexdigest()[:12]
    return local_cache().resolve() / kind / f"{readable}-{digest}"


@dataclass(frozen=True)
class Info:
    """Of a file in a store."""

    size: int
    """Bytes."""
    changed: float
    """Seconds since 1970."""


class _NoAnswer(Exception):
    """A store's failure on the way through the writing of a local file."""


class Store:
    """The files below one URI. Names are relative, with slashes.

    An operation that fails is tried again, with growing pauses, for PATIENCE_SECONDS.

    Raises:
        InputError: the URI means nothing to pyarrow, or the store says that it is not there or not for us.
        StorageError: the store does not answer as it should, also after the last try.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._files, self._root = self._patiently("open", "", lambda: _open(uri))

    def info(self, names: Sequence[str]) -> dict[str, Info]:
        """Of the files among these; what is not there is left out."""
        paths = [self._path(name) for name in names]
        found = self._patiently("look up", names[0] if names else "", lambda: self._files.get_file_info(paths))
        return {name: _info(info) for name, info in zip(names, found, strict=True) if info.is_file}

    def list(self, folder: str) -> dict[str, Info]:
        """Name -> file of a folder, without those below; empty when there is no such folder."""
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._path(folder), allow_not_found=True)
        found = self._patiently("list", folder, lambda: self._files.get_file_info(selector))
        return {info.base_name: _info(info) for info in found if info.is_file}

    def read(self, name: str) -> bytes | None:
        """A file's content, or None when it is not there."""

        def work() -> bytes | None:
            try:
                with self._files.open_input_file(self._path(name)) as file:
                    content, size = file.readall(), file.size()
            except FileNotFoundError:
                return None
            if len(content) != size:
                raise OSError(f"expected {size} bytes, got {len(content)}")
            return content

        return self._patiently("read", name, work)

    def write(self, name: str, content: bytes) -> None:
        """Put a file in the place of what is there, whole or not at all."""
        self._write(name, lambda: io.BytesIO(content))

    def upload(self, name: str, path: Path) -> None:
        """As `write`, from a local file that may be larger than memory."""
        self._write(name, lambda: path.open("rb"))

    def _write(self, name: str, content: Callable[[], BinaryIO]) -> None:
        path = self._path(name)

        def work() -> None:
            direct = self._files.type_name in _WHOLE_OR_NOT
            if not direct:
                self._files.create_dir(path.rpartition("/")[0])
            with content() as source, self._files.open_output_stream(path if direct else f"{path}.tmp") as file:
                shutil.copyfileobj(source, file, _BLOCK_BYTES)
            if not direct:
                self._files.move(f"{path}.tmp", path)

        self._patiently("write", name, work)

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no mistake."""

        def work() -> None:
            try:
                self._files.delete_file(self._path(name))
            except FileNotFoundError:
                return

        self._patiently("remove", name, work)

    def download(self, name: str, path: Path, expected: Info) -> None:
        """Copy a file to a local path, which then has its size and time; a copy that has both is not made again.

        Raises:
            StorageError: it is another file than expected, or becomes one meanwhile.
        """
        if path.is_file() and _same(path, expected):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._patiently("read", name, lambda: self._copy(name, path, expected))

    def _copy(self, name: str, path: Path, expected: Info) -> None:
        with whole_file(path) as file:
            try:
                self._copy_into(file, name, expected)
            except OSError as error:  # `whole_file` would take it for one of the local disk
                raise _NoAnswer(str(error)) from error
        os.utime(path, (expected.changed, expected.changed))

    def _copy_into(self, file: BinaryIO, name: str, expected: Info) -> None:
        with self._files.open_input_file(self._path(name)) as stream:
            while block := stream.read(_BLOCK_BYTES):
                with storing(Path(file.name)):
                    file.write(block)
        after = _info(self._files.get_file_info(self._path(name)))
        if file.tell() != expected.size or after != expected:
            raise OSError(f"expected {expected.size} bytes that stay as they are, got {file.tell()}")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _patiently(self, operation: str, name: str, work: Callable[[], T]) -> T:
        patience = float(os.environ.get("AUTOREG_STORE_PATIENCE") or PATIENCE_SECONDS)
        start, pause, tries = time.monotonic(), _FIRST_PAUSE, 0
        while True:
            tries += 1
            try:
                return work()
            except (OSError, ValueError, _NoAnswer) as error:  # pyarrow's own errors are of these
                place, reason = inside(self.uri, name) if name else self.uri, " ".join(str(error).split())[:300]
                if isinstance(error, (ValueError, PermissionError, FileNotFoundError)) or _FINAL.search(reason):
                    raise InputError(
                        f"{place}: {operation}: expected a place that is there for us, got: {reason}"
                    ) from error
                if time.monotonic() - start + pause > patience:
                    seconds = time.monotonic() - start
                    raise StorageError(
                        f"{place}: {operation}: expected an answer of the store, got (try {tries}, {seconds:.0f} s): "
                        f"{reason}; nothing is lost, go on with --resume once it answers"
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _open(uri: str) -> tuple[Any, str]:
    """pyarrow's file system and the path in it."""
    # Everything local does without: `autoreg --help` too.
    from pyarrow import fs

    scheme = urlsplit(uri).scheme
    if scheme == "gs" and "retry_limit_seconds" not in uri:  # Google's library alone would try for 15 minutes
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={_CONNECT_SECONDS:g}"
    if scheme == "s3":
        # Amazon's defaults give a request up that is not answered within 3 s, ten times over.
        query = {name: values[-1] for name, values in parse_qs(urlsplit(uri).query).items()}
        found, path = fs.FileSystem.from_uri(uri)
        options: dict[str, Any] = {"scheme": query["scheme"]} if "scheme" in query else {}
        files: Any = fs.S3FileSystem(
            region=found.region or None,
            endpoint_override=_endpoint(uri),
            request_timeout=_ANSWER_SECONDS,
            connect_timeout=_CONNECT_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=3),
            allow_delayed_open=True,  # a small object is one request
            **options,
        )
        return files, path.rstrip("/")
    files, path = fs.FileSystem.from_uri(uri)
    return files, path.rstrip("/")


def _endpoint(uri: str) -> str | None:
    """Where the requests for an S3 URI go, if not to Amazon; pyarrow asks the environment in `from_uri` alone."""
    given = parse_qs(urlsplit(uri).query).get("endpoint_override")
    if given:
        return given[-1]
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _info(found: Any) -> Info:
    return Info(found.size or 0, (found.mtime_ns or 0) / 1e9)


def _same(path: Path, expected: Info) -> bool:
    stat = path.stat()
    return stat.st_size == expected.size and abs(stat.st_mtime - expected.changed) < 1e-3


def safe_names(names: Mapping[str, T], uri: str) -> Mapping[str, T]:
    """The names, all of files inside a folder. Raises InputError for one that leads out of it."""
    for name in names:
        parts = name.split("/")
        if not name or name.startswith("/") or "\\" in name or "\0" in name or {"", ".", ".."} & set(parts):
            raise InputError(f"{uri}: expected names inside this folder, got {name!r}")
    return names
