"""Which scans a folder holds: names and contents of its files put together."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from autoreg.data.content import looks_like_labels
from autoreg.data.nifti import read_geometry, read_image, read_labels
from autoreg.errors import DataError
from autoreg.intake.names import Named, match_names, read_names

_TOLERANCE = 1e-3  # of affine entries, mm
_OTHER_FORMATS = (".mgz", ".mgh", ".nrrd", ".mha", ".mhd", ".dcm", ".hdr", ".img", ".nii.bz2")


@dataclass(frozen=True)
class Scan:
    """An image, and its label map if there is one; paths relative to the folder."""

    subject: str
    person: str
    modality: str | None
    image: PurePosixPath
    labels: PurePosixPath | None = None


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        scans: sorted by subject and modality.
        numbers: label numbers above 0, sorted.
        guesses: how the files were told apart.
        unplaced: files that belong nowhere, with the reason.
        shapes: how many images have which shape.
        common_grid: whether shape and affine of all images agree.
    """

    scans: tuple[Scan, ...]
    numbers: tuple[int, ...]
    guesses: tuple[str, ...]
    unplaced: tuple[str, ...]
    shapes: dict[tuple[int, ...], int]
    common_grid: bool


def survey(
    folder: Path,
    *,
    images: Sequence[str] = (),
    labels: Sequence[str] = (),
    progress: Callable[..., None] = lambda done, total: None,
) -> Survey:
    """What the NIfTI files below a folder are.

    Args:
        images: patterns of image files, with {subject} and if wanted {modality} and *; none: guessed.
        labels: patterns of label maps.
        progress: called with files read and their number.

    Raises:
        DataError: if the folder holds no image that can be used.
        InputError: for a pattern that nothing fits to.
    """
    return _Surveyor(folder, progress).survey(images, labels)


class _Surveyor:
    def __init__(self, folder: Path, progress: Callable[..., None]) -> None:
        self.folder, self.progress = folder, progress
        self.guesses: list[str] = []
        self.unplaced: list[str] = []
        self.geometry: dict[PurePosixPath, tuple[tuple[int, ...], np.ndarray]] = {}
        self.numbers: dict[PurePosixPath, frozenset[int]] = {}

    def survey(self, images: Sequence[str], labels: Sequence[str]) -> Survey:
        paths = self._paths()
        if images or labels:
            named = match_names(paths, images, labels)
            self._leave(set(paths) - {name.path for name in named}, "fits to no pattern")
        else:
            named = read_names(paths)
            self._leave(set(paths) - {name.path for name in named}, "a name unlike those of the others (sub-...)")
        named = self._without_subject(named)
        named = self._read(named)
        chosen = self._one_each([name for name in named if name.role == "image"])
        scans = self._with_labels(chosen, [name for name in named if name.role == "labels"])
        if not scans:
            more = f"; first: {self.unplaced[0]}" if self.unplaced else ""
            raise DataError(f"{self.folder}: images: expected NIfTI files, got none that can be placed{more}")
        first = self.geometry[scans[0].image]
        geometry = [self.geometry[scan.image] for scan in scans]
        return Survey(
            scans=tuple(scans),
            numbers=tuple(sorted(set().union(*(self.numbers[s.labels] for s in scans if s.labels)) - {0})),
            guesses=tuple(self.guesses),
            unplaced=tuple(sorted(self.unplaced)),
            shapes=dict(Counter(shape for shape, _ in geometry)),
            common_grid=all(_same_grid(one, first) for one in geometry),
        )

    def _paths(self) -> list[PurePosixPath]:
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: folder: expected a folder of NIfTI files, got none at this path")
        files = sorted(path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        seen = [PurePosixPath(path) for path in files if not any(part.startswith(".") for part in path.parts)]
        self._leave((path for path in seen if path.name.lower().endswith(_OTHER_FORMATS)), "not NIfTI (.nii, .nii.gz)")
        return [path for path in seen if path.name.endswith((".nii", ".nii.gz"))]

    def _leave(self, paths: Iterable[PurePosixPath], reason: str) -> None:
        self.unplaced += [f"{path}: {reason}" for path in paths]

    def _without_subject(self, named: list[Named]) -> list[Named]:
        self._leave(
            (name.path for name in named if not name.subject), "no subject in its name; give --images, --labels"
        )
        return [name for name in named if name.subject]

    def _read(self, named: list[Named]) -> list[Named]:
        """The files that can be read, with their roles; label maps and files without a role are read whole."""
        known = []
        by_content: Counter[str] = Counter()
        for done, name in enumerate(named, start=1):
            try:
                role = name.role or self._role_by_content(name.path)
                if role == "labels":
                    self.numbers[name.path] = frozenset(np.unique(read_labels(self.folder / name.path)[0]).tolist())
                self.geometry[name.path] = read_geometry(self.folder / name.path)
            except DataError as error:
                self.unplaced.append(str(error).removeprefix(f"{self.folder}/"))
            else:
                by_content[role] += name.role is None
                known.append(replace(name, role=role))
            self.progress(done, len(named))
        found = [
            f"{count} {'label maps' if role == 'labels' else 'images'}" for role, count in sorted(by_content.items())
        ]
        if any(by_content.values()):
            self.guesses.append(f"by content, as names do not say: {', '.join(found)}")
        return known

    def _role_by_content(self, path: PurePosixPath) -> str:
        return "labels" if looks_like_labels(read_image(self.folder / path)[0]) else "image"

    def _one_each(self, named: list[Named]) -> list[Named]:
        """One file for each subject and modality: of the variant that most subjects have, then with the most labels."""
        subjects: dict[tuple[str | None, str], set[str]] = defaultdict(set)
        for name in named:
            subjects[name.modality, name.variant].add(name.subject)
        kept: dict[tuple[str, str | None], Named] = {}

        def order(name: Named) -> tuple[int, int, int, str]:
            most_labels = -len(self.numbers.get(name.path, ()))
            return -len(subjects[name.modality, name.variant]), most_labels, len(name.variant), str(name.path)

        rank = sorted(named, key=order)
        for name in rank:
            first = kept.setdefault((name.subject, name.modality), name)
            if first is not name:
                role = "label map" if name.role == "labels" else "image"
                self._leave([name.path], f"another {role} of {name.subject} beside {first.path.name}")
        return sorted(kept.values(), key=lambda n: (n.subject, n.modality or ""))

    def _with_labels(self, images: list[Named], labels: list[Named]) -> list[Scan]:
        """Each label map goes to the images of its subject, and modality if it names one, that have its grid."""
        by_subject: dict[str, list[Named]] = defaultdict(list)
        for name in self._one_each(labels):
            by_subject[name.subject].append(name)
        scans, used = [], set()
        for image in images:
            fitting = [n for n in by_subject[image.subject] if n.modality in (image.modality, None)]
            fitting = sorted(fitting, key=lambda n: n.modality is None)
            on_grid = [n for n in fitting if _same_grid(self.geometry[n.path], self.geometry[image.path])]
            scans.append(
                Scan(image.subject, image.person, image.modality, image.path, on_grid[0].path if on_grid else None)
            )
            used.update(n.path for n in on_grid[:1])
        owners = {image.subject for image in images}
        for name in (n for group in by_subject.values() for n in group if n.path not in used):
            self._leave(
                [name.path], "a label map on no image's grid" if name.subject in owners else "no image of this subject"
            )
        return scans


def _same_grid(one: tuple[tuple[int, ...], np.ndarray], other: tuple[tuple[int, ...], np.ndarray]) -> bool:
    return one[0] == other[0] and np.allclose(one[1], other[1], rtol=0, atol=_TOLERANCE)
