"""The numbered examples and the notebook run as they stand."""

import json
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBERED = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))


def run(name: str, *arguments: object) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="example")["main"](*arguments)


def test_numbers_have_no_gap() -> None:
    assert [path.name[:2] for path in NUMBERED] == [f"{n:02d}" for n in range(1, len(NUMBERED) + 1)]


def test_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("01_data.py", tmp_path)
    assert (tmp_path / "phantoms" / "dataset.png").exists() and "images: 8 of 8 subjects" in capsys.readouterr().out


@pytest.mark.slow
def test_train_register_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("02_train_and_register.py", tmp_path)
    out = capsys.readouterr().out
    before, after = (float(part.split()[0]) for part in out.split("test Dice ")[1].split(", ")[:2])
    assert after > before
    run("03_files_and_transforms.py", tmp_path / "train", tmp_path / "phantoms" / "dataset.json", tmp_path / "files")
    out = capsys.readouterr().out
    assert float(out.split("differ by ")[1].split()[0]) < 0.01


@pytest.mark.slow
def test_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("04_search.py", tmp_path, EXAMPLES.parent / "launchers" / "configs" / "smoke.yaml")
    assert "loss weights: {" in capsys.readouterr().out


@pytest.mark.slow
def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("05_compare.py", tmp_path)
    assert "all-conv3" in capsys.readouterr().out and (tmp_path / "compare" / "compare.html").exists()


@pytest.mark.slow
def test_the_notebook_runs_from_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code cells one after the other; what a cell ends in can be shown."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in json.loads((EXAMPLES / "first_look.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            exec("".join(cell["source"]), names)
    for shown in ("trained", "scored", "pair"):
        page = names[shown]._repr_html_()  # type: ignore[attr-defined]
        assert "<table>" in page and "data:image/png;base64," in page
    assert (tmp_path / "runs" / "notebook" / "inverse.h5").exists()
