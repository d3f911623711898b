"""What lets nobody in: addresses, secrets, files that would run code or take all memory."""

import pickle
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from autoreg.cli import browse, main
from autoreg.config import load_config
from autoreg.errors import ConfigError, InputError
from autoreg.registration.model import load_model
from autoreg.search.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[1]


@pytest.fixture
def served(monkeypatch):
    """Addresses that `autoreg ui` would have listened on."""
    found: list[str] = []
    monkeypatch.setattr("autoreg.tracking.mlflow_tracker.serve", lambda home, *, port, host: found.append(host))
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_pages_are_for_this_machine(served, host):
    assert CliRunner().invoke(main, ["ui", "--host", host]).exit_code == 0
    assert served == [host]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "head.example.org", ""])
@pytest.mark.parametrize("more", [[], ["--allow-public", " "]])
def test_a_public_address_needs_a_word_on_its_protection(served, host, more):
    done = CliRunner().invoke(main, ["ui", "--host", host, *more])
    assert done.exit_code == 2
    assert "--allow-public" in done.output
    assert served == []


def test_a_public_address_with_its_protection_is_served(served):
    assert CliRunner().invoke(main, ["ui", "--host", "0.0.0.0", "--allow-public", "proxy"]).exit_code == 0
    assert served == ["0.0.0.0"]
    assert browse.ui.name == "ui"


@pytest.mark.parametrize("uri", ["https://me:secret@host/mlflow", "postgresql://me:secret@host:5432/runs"])
def test_a_password_is_refused_where_it_would_be_written_down(uri):
    with pytest.raises(ConfigError, match="expected no password") as error:
        load_config(None, [f"tracking.uri={uri}"])
    assert "secret" not in str(error.value)


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path, protocol):
    trap = pickle.dumps(_Trap(tmp_path / "sprung"), protocol=protocol)
    (tmp_path / "model.pt").write_bytes(trap)
    (tmp_path / "round_000001.pt").write_bytes(trap)
    with pytest.raises(InputError):
        load_model(tmp_path)
    with pytest.raises(InputError):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_nothing_is_unpickled_but_what_this_process_wrote():
    found = []
    for path in (ROOT / "autoreg").rglob("*.py"):
        text = path.read_text()
        found += [path.name] * bool(re.search(r"pickle\.loads?\(|allow_pickle=True|weights_only=False", text))
        found += [path.name] * bool(re.search(r"yaml\.(unsafe_|full_)?load\((?!text, Loader=_Loader\))", text))
    assert found == []
