"""A data set in a store, as a local copy of the files that it names."""

import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autoreg.data.description import Description
from autoreg.data.entries import EXPLICIT
from autoreg.errors import DataError
from autoreg.files import in_turn, whole_file
from autoreg.storage import Info, Location, Store, as_location, copy_folder, folder_and_name

_FOLDERS = ("images", "labels")
_SCAN = re.compile(r"(.+?)(?:_\d{4})?\.nii(?:\.gz)?")
_AT_ONCE = 8


def local_dataset(place: Location) -> Path:
    """The dataset.json itself, or for a URI that of a copy in the local cache, brought level with the store.

    Only files that are not here as the store has them (size and time) are fetched, so a fetch that was stopped goes on.
    What the description names and the store does not have, or what lies outside its folder, is missing here too, and
    reported by whoever reads the copy.

    Raises:
        DataError: there is no such file.
        InputError, StorageError: as `Store`.
    """
    place = as_location(place)
    if isinstance(place, Path):
        return place
    folder, name = folder_and_name(place)
    copy = copy_folder("datasets", folder)
    copy.mkdir(parents=True, exist_ok=True)
    with in_turn(copy.with_suffix(".lock")):
        store = Store(folder)
        content = store.read(name)
        if content is None:
            raise DataError(f"{place}: file: expected a dataset.json, got none")
        with whole_file(copy / name) as file:
            file.write(content)
        try:
            files = _wanted(Description(copy / name), store)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        for path in copy.rglob("*.nii*"):
            if path.relative_to(copy).as_posix() not in files:
                path.unlink()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda item: store.download(item[0], copy / item[0], item[1]), files.items()))
    return copy / name


def _wanted(description: Description, store: Store) -> dict[str, Info]:
    """Those files of the store that belong to the data set, with names that stay in its folder."""
    listed = {subject for split in EXPLICIT for subject in description.ids(split)}
    explicit = [
        name
        for field in EXPLICIT.values()
        for given in description.files(field)
        for name in _named(given.image, given.label)
    ]
    explicit += _named(*description.paths("points").values())
    files = store.info([name for name in explicit if not name.startswith(("/", "../"))])
    for folder in _FOLDERS:
        for name, info in store.list(folder).items():
            scan = _SCAN.fullmatch(name)
            if scan and (scan[1] in listed or name.split(".nii")[0] in listed):
                files[f"{folder}/{name}"] = info
    return files


def _named(*names: str | None) -> list[str]:
    return [posixpath.normpath(name) for name in names if name and "\0" not in name]
