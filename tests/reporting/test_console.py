import math

import pytest
from rich.console import Console

from autoreg.reporting import console
from autoreg.reporting.console import as_text, cell, progress, table
from autoreg.reporting.watch import Watch, how_it_goes


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (math.nan, "-"), (0.123456, "0.1235"), (12345.6, "12346"), (1e-5, "1e-05"), (7, "7"), ("a", "a")],
)
def test_cell(value, text):
    assert cell(value) == text


def test_table_has_rows_and_does_not_read_markup():
    text = as_text(table([{"system": "[red]x", "dice": 0.5}, {"system": "y"}]))
    assert "[red]x" in text
    lines = text.splitlines()
    assert sum("0.5" in line for line in lines) == 1
    assert "-" in lines[-2]


def test_columns_may_be_chosen_and_rows_may_be_absent():
    assert "a" not in as_text(table([{"a": 1, "b": 2}], ["b"])).replace("─", "")
    assert table([]).row_count == 0


def run(total, capsys, **options):
    with progress(total, "work [1]", **options) as advance:
        for _ in range(total):
            advance()
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


@pytest.mark.parametrize(("total", "lines"), [(1000, 21), (40, 21), (3, 3)])
def test_a_plain_line_after_the_first_step_and_about_every_twentieth(capsys, total, lines):
    said = run(total, capsys)
    assert len(said) == lines
    assert said[-1].startswith(f"work [1] {total}/{total} (100%)")


def test_the_time_left_is_in_proportion(capsys, monkeypatch):
    now = iter([0.0, 60.0, 120.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    with progress(4, "work") as advance:
        advance()
        advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "work 1/4 (25%), 0:01:00 spent, about 0:03:00 left"
    assert lines[1] == "work 2/4 (50%), 0:02:00 spent, about 0:02:00 left"


def test_quiet_says_nothing(capsys):
    assert run(10, capsys, quiet=True) == []


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_gets_a_bar(capsys, monkeypatch, quiet):
    def terminal(**options):
        return Console(force_terminal=True, width=80, **options)

    monkeypatch.setattr(console, "Console", terminal)
    said = "\n".join(run(10, capsys, quiet=quiet))
    assert ("10/10" in said) is not quiet


def test_a_line_says_how_it_goes(capsys):
    count = Watch(quiet=False).counter("search")
    count(1, 2, {"soft_dice": 0.51234, "lambda.mse": 5.919, "workers": 2, "total_device_seconds": 360.0, "phase": "x"})
    count(2, 2, {"soft_dice": float("nan"), "lambda.mse": 6.0, "workers": 1, "total_device_seconds": 720.0})
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("; Dice 0.512; lambda mse 5.92; 0.100 device-hours; 2 workers")
    assert second.endswith("; Dice 0.512; lambda mse 6; 0.200 device-hours; 1 workers")  # the Dice of the round before


def test_what_is_not_known_is_not_said():
    assert how_it_goes({}) == ""


def test_the_first_step_counts_from_when_it_began(capsys, monkeypatch):
    """A watch's bar opens when its first step is done."""
    now = iter([0.0, 60.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    Watch(quiet=False).counter("search")(1, 3)
    assert capsys.readouterr().err.splitlines() == ["search 1/3 (33%), 0:01:00 spent, about 0:02:00 left"]


def test_trials_are_scored_after_several_rounds(capsys, monkeypatch):
    """The first call stands for all of them: the time left is not that of one round each."""
    now = iter([0.0, 60.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(now))
    Watch(quiet=False).counter("tune", first=4)(24, 40)  # 20 of another day
    assert capsys.readouterr().err.splitlines() == ["tune 4/20 (20%), 0:01:00 spent, about 0:04:00 left"]
