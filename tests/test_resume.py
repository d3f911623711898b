"""What a run cannot be continued with is refused before anything of it changes."""

from pathlib import Path

import pytest
import torch

from autoreg import experiment
from autoreg.account import describe
from autoreg.config import load_config
from autoreg.data.synthetic import make_phantoms
from autoreg.errors import ConfigError, InputError, SearchSpaceError

CONFIG = Path(__file__).parents[1] / "launchers" / "configs" / "smoke.yaml"


def settings(home: Path, *changes: str):
    rounds = [
        "search.rounds=1",
        "search.warmup_rounds=0",
        "search.finalists=1",
        "workers.local=true",
        "workers.count=1",
    ]
    return load_config(CONFIG, [*rounds, f"tracking.home={home}", *changes])


@pytest.fixture(scope="module")
def begun(phantoms, tmp_path_factory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("resume")
    experiment.search(settings(home), dataset=phantoms, output=home / "run", tracked=False)
    return home, home / "run"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("space=compact", "--resume: space: expected 'tiny' as the run began, got 'compact'"),
        ("seed=5", "--resume: seed: expected 0 as the run began, got 5"),
        ("search.relaxation=softmax", "search.relaxation: expected 'partial-channel'"),
        ("workers.precision=bfloat16", "workers.precision: expected 'float32' as the run began, got 'bfloat16'"),
    ],
)
def test_another_search_is_refused_and_the_folder_stays(begun, phantoms, change, words):
    home, folder = begun
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(InputError) as caught:
        experiment.search(settings(home, change), dataset=phantoms, output=folder, resume=True, tracked=False)
    assert words in str(caught.value) and str(folder) in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_other_data_are_refused(begun, tmp_path):
    home, folder = begun
    other = make_phantoms(tmp_path / "other", subjects=10, shape=(16, 16, 16), seed=9)
    with pytest.raises(InputError, match=r"--resume: dataset: expected phantoms .*, got .* with other files"):
        experiment.search(settings(home), dataset=other, output=folder, resume=True, tracked=False)


def test_a_space_that_was_edited_meanwhile_is_refused(phantoms, tmp_path):
    space = tmp_path / "space.yaml"
    tiny = (CONFIG.parents[2] / "search_spaces" / "tiny.yaml").read_text()
    space.write_text(tiny)
    folder = tmp_path / "run"
    experiment.search(settings(tmp_path, f"space={space}"), dataset=phantoms, output=folder, tracked=False)
    space.write_text(tiny.replace("match: concat+force", "match: concat"))
    longer = settings(tmp_path, f"space={space}", "search.rounds=2")
    with pytest.raises(SearchSpaceError, match="saved weights: expected those of the space's network"):
        experiment.search(longer, dataset=phantoms, output=folder, tracked=False, resume=True)
    space.write_text(tiny)
    experiment.search(longer, dataset=phantoms, output=folder, tracked=False, resume=True)


def test_a_longer_search_goes_on(begun, phantoms):
    """Also one of a version that had no other precision than float32, with less memory than it began with."""
    home, folder = begun
    config = settings(home, "search.rounds=2", "workers.checkpointing=true")
    written = (folder / "config.yaml").read_text()
    assert "  precision: float32\n" in written
    (folder / "config.yaml").write_text(written.replace("  precision: float32\n", ""))
    assert experiment.search(config, dataset=phantoms, output=folder, resume=True, tracked=False) == folder
    assert sorted(path.stem[-1] for path in (folder / "checkpoints").iterdir()) == ["1", "2"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("local", ["true", "false"])
def test_gpus_that_are_not_there_are_refused_at_once(phantoms, tmp_path, local):
    config = settings(tmp_path, "workers.gpus=1", f"workers.local={local}")
    with pytest.raises(ConfigError, match="expected at most the 0 GPUs of this machine, got 1"):
        experiment.search(config, dataset=phantoms, output=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"workers\.gpus"):
        describe(config, phantoms, tmp_path / "run", "search")
    assert not (tmp_path / "run").exists()
