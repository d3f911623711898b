"""Tasks of a data set: its modality pairs as its lists of test pairs have them."""

import json
from pathlib import Path

import pytest

from autoreg.config import Config
from autoreg.data.synthetic import make_phantoms
from autoreg.errors import InputError
from autoreg.studies.task import modality_pairs, whole_datasets


@pytest.fixture(scope="module")
def two_modalities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modalities")
    return make_phantoms(folder, subjects=6, shape=(16, 16), modalities=("t1", "t2"), seed=0)


def with_lists(dataset: Path, **lists: list[tuple[str, str]]) -> Path:
    """The same data, with these lists of test pairs instead of its own; each pair names fixed and moving modality."""
    values = json.loads(dataset.read_text())
    one, other = values["test"][:2]
    values = {k: v for k, v in values.items() if not k.startswith("test_pairs")}
    for name, kinds in lists.items():
        values[name] = [[f"{one}_{fixed}", f"{other}_{moving}"] for fixed, moving in kinds]
    path = dataset.with_name("listed.json")
    path.write_text(json.dumps(values))
    return path


def test_a_list_of_each_modality_pair_is_a_task(brief: Config, two_modalities: Path):
    lists = {"test_pairs": [("0000", "0001")], "test_pairs_plain": [("0000", "0000")]}
    path = with_lists(two_modalities, **lists, test_pairs_again=[("0000", "0001")])
    tasks = modality_pairs(brief, [path])
    assert [task.name for task in tasks] == ["phantoms 0001 to 0000", "phantoms 0000 to 0000"]
    assert [task.config.data.pairs for task in tasks] == ["test_pairs", "test_pairs_plain"]
    assert (tasks[0].config.data.fixed_modality, tasks[0].config.data.moving_modality) == ("0000", "0001")
    assert [[key[-4:] for key in task.pairs[0]] for task in tasks] == [["0000", "0001"], ["0000", "0000"]]


def test_one_modality_is_one_task(brief: Config, flat_phantoms: Path):
    assert [task.name for task in modality_pairs(brief, [flat_phantoms])] == ["phantoms"]


def test_a_list_of_mixed_pairs_is_refused(brief: Config, two_modalities: Path):
    path = with_lists(two_modalities, test_pairs=[("0000", "0001"), ("0000", "0000")])
    with pytest.raises(InputError, match=r"test_pairs: expected pairs of one kind, got 2 modality pairs"):
        modality_pairs(brief, [path])
    assert len(whole_datasets(brief, [path])) == 1
