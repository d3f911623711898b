"""What names say, in layouts that people have."""

from pathlib import PurePosixPath

import pytest

from autoreg.errors import InputError
from autoreg.intake.names import match_names, read_names

LAYOUTS = {
    "folders": {
        "images/s01.nii.gz": ("s01", "image", None),
        "images/s02.nii.gz": ("s02", "image", None),
        "labels/s01.nii.gz": ("s01", "labels", None),
    },
    "decathlon": {
        "imagesTr/hippocampus_001.nii.gz": ("hippocampus_001", "image", None),
        "imagesTs/hippocampus_004.nii.gz": ("hippocampus_004", "image", None),
        "labelsTr/hippocampus_001.nii.gz": ("hippocampus_001", "labels", None),
    },
    "learn2reg": {
        "imagesTr/OASIS_0001_0000.nii.gz": ("OASIS_0001", "image", "0000"),
        "imagesTr/OASIS_0002_0000.nii.gz": ("OASIS_0002", "image", "0000"),
        "labelsTr/OASIS_0001_0000.nii.gz": ("OASIS_0001", "labels", "0000"),
    },
    "two codes, label maps without": {
        "images/a_0000.nii.gz": ("a", "image", "0000"),
        "images/a_0001.nii.gz": ("a", "image", "0001"),
        "images/b_0000.nii.gz": ("b", "image", "0000"),
        "images/b_0001.nii.gz": ("b", "image", "0001"),
        "labels/a.nii.gz": ("a", "labels", None),
    },
    "ids that end in four digits": {
        "case_0000.nii": ("case_0000", None, None),
        "case_0001.nii": ("case_0001", None, None),
        "case_0002.nii": ("case_0002", None, None),
    },
    "words behind the id": {
        "BraTS-007_t1ce.nii.gz": ("BraTS_007", None, "t1ce"),
        "BraTS-007_flair.nii.gz": ("BraTS_007", None, "flair"),
        "BraTS-007_seg.nii.gz": ("BraTS_007", "labels", None),
    },
    "a folder a person": {
        "p1/t1.nii.gz": ("p1", None, "t1"),
        "p1/seg.nii.gz": ("p1", "labels", None),
        "p2/t1.nii.gz": ("p2", None, "t1"),
        "p2/seg.nii.gz": ("p2", "labels", None),
    },
    "a folder a person, names that say nothing": {
        "p1/head.nii.gz": ("p1", None, None),
        "p1/other.nii.gz": ("p1", None, None),
        "p2/head.nii.gz": ("p2", None, None),
        "p2/other.nii.gz": ("p2", None, None),
    },
    "folders of splits": {
        "train/s1.nii.gz": ("s1", None, None),
        "test/s1_mask.nii.gz": ("s1", "labels", None),
    },
    "bids": {
        "sub-01/anat/sub-01_T1w.nii.gz": ("sub-01", "image", "t1w"),
        "sub-01/anat/sub-01_run-2_T2w.nii.gz": ("sub-01", "image", "t2w"),
        "derivatives/seg/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz": ("sub-01", "labels", None),
        "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz": ("sub-02_ses-b", "image", "t1w"),
    },
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_subject_role_and_modality(layout: dict[str, tuple[str, str | None, str | None]]) -> None:
    named = read_names([PurePosixPath(path) for path in layout])
    assert {str(n.path): (n.subject, n.role, n.modality) for n in named} == layout


def test_visits_of_a_person_are_subjects_of_their_own() -> None:
    named = read_names([PurePosixPath(f"sub-1_ses-{s}_T1w.nii") for s in "ab"])
    assert {(n.subject, n.person) for n in named} == {("sub-1_ses-a", "sub-1"), ("sub-1_ses-b", "sub-1")}


def test_a_name_that_is_not_of_bids_among_many_that_are_is_left_out() -> None:
    paths = [PurePosixPath(name) for name in ("sub-1_T1w.nii", "sub-2_T1w.nii", "template.nii")]
    assert [n.subject for n in read_names(paths)] == ["sub-1", "sub-2"]


def test_patterns_decide() -> None:
    paths = [
        PurePosixPath(p) for p in ("x/a-1/T1.nii.gz", "x/a-1/T1_lab.nii.gz", "x/b/T2.nii.gz", "x/b/deep/T2.nii.gz")
    ]
    named = match_names(paths, ["*/{subject}/{modality}.nii.gz"], ["x/{subject}/*_lab.nii.gz"])
    found = {str(n.path): (n.subject, n.role, n.modality) for n in named}
    assert found["x/b/T2.nii.gz"] == ("b", "image", "t2")
    assert found["x/a-1/T1.nii.gz"] == ("a-1", "image", "t1")
    assert "x/b/deep/T2.nii.gz" not in found


def test_a_label_pattern_wins_over_an_image_pattern_that_fits_too() -> None:
    paths = [PurePosixPath(p) for p in ("a.nii.gz", "a_seg.nii.gz")]
    named = match_names(paths, ["{subject}.nii.gz"], ["{subject}_seg.nii.gz"])
    assert {str(n.path): (n.subject, n.role) for n in named} == {
        "a.nii.gz": ("a", "image"),
        "a_seg.nii.gz": ("a", "labels"),
    }


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (["*.nii.gz"], [], r"pattern \*\.nii\.gz: expected \{subject\}"),
        (["img/{subject}.nii"], [], r"--images img/\{subject\}\.nii: expected files of this form, got none"),
        (["{subject}.nii.gz"], ["{subject}_l.nii.gz"], r"--labels \{subject\}_l\.nii\.gz: expected files"),
    ],
)
def test_patterns_that_cannot_be_used(images: list[str], labels: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        match_names([PurePosixPath("a.nii.gz")], images, labels)
