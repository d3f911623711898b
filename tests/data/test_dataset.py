import json
import pickle
from itertools import combinations

import pytest

from autoreg.data.dataset import DataConfig, load_dataset, sample_pairs
from autoreg.errors import ConfigError, DataError

IDS = ["a", "b", "c", "d"]
SPLITS = {"train": ["a", "b"], "val": [], "test": ["c", "d"]}


def test_files_are_found_by_id(write_dataset):
    dataset = load_dataset(write_dataset(IDS, labelled=["a"], **SPLITS))
    assert sorted(dataset.entries) == IDS
    assert dataset.entries["a"].label_path == dataset.root / "labels" / "a.nii.gz"
    assert dataset.entries["b"].label_path is None
    assert dataset.label_names == {0: "background", 1: "half"}
    assert (dataset.labelled("a"), dataset.labelled("b"), dataset.labelled("unknown")) == (True, False, False)
    assert pickle.loads(pickle.dumps(dataset)) == dataset


def test_explicit_paths_win_over_folders(write_dataset):
    path = write_dataset(IDS, training=[{"image": "./images/b.nii.gz"}, "images/a.nii.gz"], **SPLITS)
    dataset = load_dataset(path)
    assert dataset.entries["b"].label_path is None
    assert dataset.entries["c"].label_path is not None


def test_explicit_paths_make_the_split_that_has_no_list(write_dataset):
    path = write_dataset(IDS, training=["images/b.nii.gz", "images/a.nii.gz"], test=["c"])
    dataset = load_dataset(path)
    assert (dataset.train, dataset.val, dataset.test) == (("b", "a"), (), ("c",))


def test_only_a_test_list_is_enough(write_dataset):
    assert load_dataset(write_dataset(IDS, test=["c", "d"])).pairs("test") == [("c", "d"), ("d", "c")]


@pytest.mark.parametrize(
    ("keys", "ids", "fields", "expected"),
    [
        (["s1_0000", "s1_0001"], ["s1"], {}, {"s1_0000": ("s1", "0000"), "s1_0001": ("s1", "0001")}),
        (["m_1002"], ["m_1002"], {}, {"m_1002": ("m_1002", "0000")}),  # the id itself ends in four digits
        (["m_0001"], ["m_0001"], {"modality": {"0": "T1", "1": "T2"}}, {"m_0001": ("m_0001", "0000")}),
        (["m_1002_0001"], ["m_1002"], {}, {"m_1002_0001": ("m_1002", "0001")}),
    ],
)
def test_modality_is_what_follows_a_listed_id(write_dataset, keys, ids, fields, expected):
    dataset = load_dataset(write_dataset(keys, test=ids, **fields))
    assert {key: (entry.subject, entry.modality) for key, entry in dataset.entries.items()} == expected


def test_modality_of_unlisted_ids_follows_the_modality_table(write_dataset):
    keys = ["m_0007_0000", "m_0008"]
    path = write_dataset(keys, modality={"0": "T1"}, training=[f"images/{key}.nii.gz" for key in keys])
    assert load_dataset(path).train == ("m_0007", "m_0008")


def test_pairs_are_the_listed_ones(write_dataset):
    path = write_dataset(IDS, **SPLITS, test_pairs=[["d", "c"]], other=[["c", "d"]])
    assert load_dataset(path).pairs("test") == [("d", "c")]
    assert load_dataset(path, DataConfig(pairs="other")).pairs("test") == [("c", "d")]
    assert load_dataset(path, DataConfig(pairs="other")).pairs("train") == [("a", "b"), ("b", "a")]


def test_unlisted_pairs_join_the_configured_modalities(write_dataset):
    path = write_dataset(["a_0000", "a_0001", "b_0000", "b_0001"], test=["a", "b"])
    config = DataConfig(fixed_modality="0000", moving_modality="0001")
    assert load_dataset(path, config).pairs("test") == [("a_0000", "b_0001"), ("b_0000", "a_0001")]
    with pytest.raises(DataError, match="modality of a: expected one of 0000, 0001, got None"):
        load_dataset(path).pairs("test")


def test_large_splits_are_sampled_and_always_alike():
    pairs = [(str(i), str(j)) for i, j in combinations(range(12), 2)]
    chosen = sample_pairs(pairs)
    assert len(set(chosen)) == 40 < len(pairs) and set(chosen) <= set(pairs)
    assert sample_pairs(pairs) == chosen
    assert sample_pairs(pairs[:40]) == pairs[:40]


@pytest.mark.parametrize(
    "fields",
    [
        {"same_subject_rescans": [["a", "b"], ["b", "c"]]},
        {"subjects": {"a": "Ada", "b": "Ada", "c": "Ada", "d": "Bob"}},
        {"subjects": {"a": "Ada", "b": "Ada"}, "same_subject_rescans": [["c", "b"]]},
    ],
)
def test_one_person_is_never_paired_with_herself(write_dataset, fields):
    dataset = load_dataset(write_dataset(IDS, train=IDS, **fields))
    assert dataset.same_subject == (("a", "b", "c"),)
    assert set(dataset.pairs("train")) == {(x, "d") for x in "abc"} | {("d", x) for x in "abc"}


WRONG = {
    "unknown id": ({"train": ["z"]}, "train: expected an image of each id, images/z.nii.gz"),
    "id twice": ({"train": ["a", "a"]}, r"train\[1\]: expected each id once, got a"),
    "id in two splits": ({"train": ["a"], "test": ["a"]}, r"test: expected people .* got a \(a in train\)"),
    "person in two splits": (
        {"train": ["a"], "test": ["b"], "subjects": {"a": "Ada", "b": "Ada"}},
        r"test: expected people that are in no other split, got b \(a in train\)",
    ),
    "not a list": ({"train": "a"}, "train: expected a list, got a"),
    "number as id": ({"train": [1002]}, r"train\[0\]: expected an id \(text\), got 1002"),
    "nobody": ({}, "expected at least one subject, got none"),
    "unknown id in a pair": ({"test": ["a"], "test_pairs": [["a", "z"]]}, "test_pairs: expected file stems .* got z"),
    "pair of another split": (
        {"test": ["a"], "train": ["b"], "test_pairs": [["a", "b"]]},
        "test_pairs: expected scans of the test split, got b",
    ),
    "pair twice": ({"test": IDS, "test_pairs": [["a", "b"]] * 2}, r"test_pairs\[1\]: expected each pair once"),
    "pair with itself": ({"test": IDS, "val_pairs": [["a", "a"]]}, r"val_pairs\[0\]: expected two different ids"),
    "not a pair": ({"test": IDS, "test_pairs": [["a", "b", "c"]]}, r"test_pairs\[0\]: expected \[fixed, moving\]"),
    "missing file": ({"training": ["images/z.nii.gz"]}, r"training\[0\].image: expected an existing file"),
    "missing label": (
        {"training": [{"image": "images/a.nii.gz", "label": "labels/z.nii.gz"}]},
        r"training\[0\].label: expected an existing file",
    ),
    "file twice": ({"training": ["images/a.nii.gz"] * 2}, r"training\[1\]: expected one image for a"),
    "no path": ({"training": [{"label": "labels/a.nii.gz"}]}, r"training\[0\]: expected a path"),
    "not an image": ({"training": ["dataset.json"]}, r"training\[0\].image: expected a .nii"),
    "null character": ({"training": ["images/\0.nii"]}, r"training\[0\].image: expected"),
    "odd label": ({"test": IDS, "labels": {"one": "half"}}, "labels: expected numbers with names"),
    "unknown rescan": ({"test": IDS, "same_subject_rescans": [["a", "z"]]}, "same_subject_rescans: expected ids"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_name_file_and_field(write_dataset, name):
    fields, message = WRONG[name]
    path = write_dataset(IDS, **fields)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_unreadable_description(tmp_path, content):
    path = tmp_path / "dataset.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: file: expected"):
        load_dataset(path)


@pytest.mark.parametrize("kind", ["relative", "absolute", "link", "linked folder"])
def test_files_outside_need_permission(tmp_path, write_dataset, kind):
    path = write_dataset(["a", "b"])
    inside, outside = tmp_path / "inside", tmp_path / "images" / "a.nii.gz"
    (inside / "images").mkdir(parents=True)
    fields = {"test": ["a"]}
    if kind == "link":
        (inside / "images" / "a.nii.gz").symlink_to(outside)
    elif kind == "linked folder":
        (inside / "images").rmdir()
        (inside / "images").symlink_to(outside.parent)
    else:
        fields = {"testing": ["../images/a.nii.gz" if kind == "relative" else str(outside)]}
    path = inside / "dataset.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(DataError, match="expected a path inside the dataset's folder"):
        load_dataset(path)
    assert load_dataset(path, DataConfig(allow_outside=True)).test == ("a",)


def test_two_forms_of_one_file_are_refused(write_dataset, tmp_path):
    path = write_dataset(["a"], test=["a"])
    (tmp_path / "images" / "a.nii").touch()
    with pytest.raises(DataError, match="images: expected one file for a"):
        load_dataset(path)


@pytest.mark.parametrize("fields", [{"pairs": "test_pairs_x"}, {"fixed_modality": "0001"}])
def test_settings_that_the_dataset_does_not_know(write_dataset, fields):
    path = write_dataset(IDS, test=IDS)
    with pytest.raises(DataError, match=f"data.{next(iter(fields))}: expected"):
        load_dataset(path, DataConfig(**fields))


@pytest.mark.parametrize("fields", [{"foreground": "some"}, {"percentiles": (50, 50)}, {"percentiles": (-1, 99)}])
def test_settings_are_checked(fields):
    with pytest.raises(ConfigError, match=f"data.{next(iter(fields))}: expected"):
        DataConfig(**fields)


def test_fingerprint_follows_content_and_names_alone(write_dataset, tmp_path):
    path = write_dataset(IDS, test=IDS)
    first = load_dataset(path).fingerprint
    assert len(first) == 64
    assert load_dataset(write_dataset(IDS, test=IDS)).fingerprint == first
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert load_dataset(moved / "dataset.json").fingerprint == first
    label = moved / "labels" / "b.nii.gz"
    content = bytearray(label.read_bytes())
    content[-1] ^= 1  # same size
    label.write_bytes(content)
    changed = load_dataset(moved / "dataset.json").fingerprint
    assert changed != first
    label.unlink()
    assert load_dataset(moved / "dataset.json").fingerprint not in (first, changed)


def test_files_whose_subject_is_written_down(write_dataset):
    files = [
        {"image": "images/a.nii.gz", "label": "labels/a.nii.gz", "subject": "one", "modality": "0000"},
        {"image": "images/b.nii.gz", "subject": "one", "modality": "0001"},
        {"image": "images/c.nii.gz", "subject": "c_0007"},
    ]
    dataset = load_dataset(write_dataset(IDS, training=files, test=["d"]))
    assert set(dataset.entries) == {"one_0000", "one_0001", "c_0007", "d"}
    assert dataset.train == ("one", "c_0007") and dataset.entries["c_0007"].modality == "0000"
    assert dataset.scans("one")["0001"].label_path is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image": "images/a.nii.gz", "subject": 3}, r"training\[0\]: expected a path"),
        (
            {"image": "images/a.nii.gz", "subject": "a", "modality": "t1"},
            r"training\[0\]\.modality: expected four digits",
        ),
    ],
)
def test_a_subject_written_down_wrongly(write_dataset, entry, message):
    with pytest.raises(DataError, match=message):
        load_dataset(write_dataset(IDS, training=[entry], test=["c", "d"]))
