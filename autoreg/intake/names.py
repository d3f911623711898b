"""What the names of files say: whose scan it is, in which modality, image or label map."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from autoreg.errors import InputError

Role = Literal["image", "labels"]


def _set(words: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", words))


_LABELS = _set("""
    label labels seg segs segm segmentation segmentations mask masks aseg aparc dseg dsegs gt truth groundtruth parc
    parcellation parcellations atlas roi rois annotation annotations manual contour contours
""")
_IMAGES = _set("image images img imgs")
_NEUTRAL = _set("""
    scan scans vol volume volumes anat raw orig data nifti niftis brain
    train training tr val valid validation test testing ts
""")
_MODALITIES = _set("""
    t1 t1w t1ce t1c t1gd t1post t1pre t2 t2w t2star flair pd pdw ct cect cbct mr mri pet us dwi adc bold asl swi dti fa
    inplanet1 inplanet2 mp2rage uni angio
""")
_BIDS = re.compile(
    r"sub-(?P<sub>[a-zA-Z0-9]+)(?:_ses-(?P<ses>[a-zA-Z0-9]+))?(?P<rest>(?:_[a-z]+-[^_]+)*)_(?P<suffix>\w+)"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=Tr$|Ts$|Val$|Train$|Test$)")  # imagesTr, as in the Decathlon's and nnU-Net's folders
_CODE = re.compile(r"(.+)_(\d{4})")
_MOST_CODES = 8


@dataclass(frozen=True)
class Named:
    """A file and what its name says.

    Attributes:
        path: relative to the folder.
        subject: one visit of one person.
        person: several subjects may be one.
        role: None if the name does not say.
        modality: a word such as t1, or four digits; None if the name does not say.
        variant: the other words, which tell several files of a subject apart.
    """

    path: PurePosixPath
    subject: str
    person: str
    role: Role | None
    modality: str | None
    variant: str


def read_names(paths: Sequence[PurePosixPath]) -> list[Named]:
    """What the names say, in the way of BIDS where most are called sub-..., else by their words."""
    if 2 * sum(_BIDS.fullmatch(stem(path)) is not None for path in paths) > len(paths):
        return [named for path in paths if (named := _bids(path))]
    from_folder = _subjects_are_folders(paths)
    return _with_codes([_plain(path, from_folder=from_folder) for path in paths])


def match_names(paths: Sequence[PurePosixPath], images: Sequence[str], labels: Sequence[str]) -> list[Named]:
    """The files that fit to patterns such as "raw/{subject}/{modality}.nii.gz"; * stands for anything within a name.

    Raises:
        InputError: for a pattern without {subject}, or one that no file fits to.
    """
    found: dict[PurePosixPath, Named] = {}
    for role, patterns in (("labels", labels), ("image", images)):  # label maps first: "a_seg" is no subject
        for pattern in patterns:
            expression = _expression(pattern)
            matches = {path: match for path in paths if (match := expression.fullmatch(str(path)))}
            if not matches:
                raise InputError(f"--{role.rstrip('s')}s {pattern}: expected files of this form, got none")
            for path, match in matches.items():
                subject, modality = match["subject"], match.groupdict().get("modality")
                found.setdefault(path, Named(path, subject, subject, role, modality and modality.lower(), pattern))  # type: ignore[arg-type]
    return list(found.values())


def stem(path: PurePosixPath) -> str:
    """The name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _expression(pattern: str) -> re.Pattern[str]:
    if "{subject}" not in pattern:
        raise InputError(f"pattern {pattern}: expected {{subject}} in it, as in images/{{subject}}.nii.gz, got none")
    parts = {r"\{subject\}": "(?P<subject>[^/]+?)", r"\{modality\}": "(?P<modality>[^/]+?)", r"\*": "[^/]*"}
    expression = re.escape(pattern)
    for mark, part in parts.items():
        expression = expression.replace(mark, part, 1).replace(mark, "[^/]*")
    return re.compile(expression)


def _bids(path: PurePosixPath) -> Named | None:
    """Reference: the Brain Imaging Data Structure, https://bids-specification.readthedocs.io, file names."""
    match = _BIDS.fullmatch(stem(path))
    if match is None:
        return None
    person = f"sub-{match['sub']}"
    subject = f"{person}_ses-{match['ses']}" if match["ses"] else person
    suffix = match["suffix"].lower()
    role: Role = "labels" if suffix in _LABELS else "image"
    variant = "_".join(filter(None, [match["rest"].strip("_"), suffix if role == "labels" else ""]))
    return Named(path, subject, person, role, suffix if role == "image" else None, variant)


def _plain(path: PurePosixPath, *, from_folder: bool) -> Named:
    """By words: of the file's name and of its folders, from the nearest on."""
    folders = [_CAMEL.sub("_", part) for part in path.parts[:-1][::-1]]
    levels = [_words(stem(path)), *map(_words, folders)]
    known = [word.lower() for words in levels for word in words]
    role: Role | None = None
    if any(word in _LABELS for word in known):
        role = "labels"
    elif any(word in _IMAGES for word in known):
        role = "image"
    modality = next((word for word in known if word in _MODALITIES), None)
    left = ["_".join(word for word in words if not _is_known(word)) for words in levels]
    own = left[1] if from_folder else next(filter(None, left), "")
    words_of_role = [word.lower() for word in levels[0] if word.lower() in _LABELS]
    variant = "_".join([*([left[0]] if from_folder else []), *words_of_role])
    return Named(path, own, own, role, modality, variant)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[_\-. ]+", name) if word]


def _is_known(word: str) -> bool:
    return word.lower() in _LABELS | _IMAGES | _NEUTRAL | _MODALITIES


def _subjects_are_folders(paths: Sequence[PurePosixPath]) -> bool:
    """Whether the same file names come again in every folder, as in s01/brain.nii.gz, s02/brain.nii.gz."""
    if any(len(path.parts) < 2 for path in paths):
        return False
    parents = [_words(_CAMEL.sub("_", path.parent.name)) for path in paths]
    if any(all(_is_known(word) for word in words) for words in parents):
        return False
    return 2 * len({path.name for path in paths}) <= len(paths)


def _with_codes(names: list[Named]) -> list[Named]:
    """Four digits at the end of all ids, few of them, are modalities (as in Learn2Reg and nnU-Net): id_0000."""
    matches = {name.subject: _CODE.fullmatch(name.subject) for name in names if name.role != "labels"}
    codes = Counter(match[2] for match in matches.values() if match)
    people = {match[1] for match in matches.values() if match}
    if not codes or None in matches.values() or len(codes) > _MOST_CODES or len(people) < 2:
        return names
    if "0000" not in codes:
        return names
    result = []
    for name in names:
        match = _CODE.fullmatch(name.subject)
        coded = match is not None and match[2] in codes
        result.append(replace(name, subject=match[1], person=match[1], modality=match[2]) if coded and match else name)
    return result
