"""Trainings that are begun decide, are not repeated after a stop, and their cost is the search's."""

import json
from pathlib import Path

import pytest

from autoreg.config import load_space
from autoreg.errors import DivergedError
from autoreg.finals import draw_front, play_off
from autoreg.networks import Genotype
from autoreg.search.finalists import Finalist
from autoreg.search.run import Run, RunPlan, open_run
from autoreg.tracking.ledger import Ledger

SPACE = load_space("tiny", dims=3)
NAMES = ("by alpha", "default architecture", "default")
FINALISTS = [
    Finalist(name, Genotype.uniform(SPACE.architecture, "conv3"), {"lncc": float(i)}) for i, name in enumerate(NAMES)
]
SCORES = {"by alpha": 0.6, "default architecture": 0.7, "default": 0.5}
LATER = {}
"""Where twice the rounds say otherwise."""
ROUNDS = 3


def along(winner: Finalist, times: int) -> Finalist:
    """Only the starts differ."""
    return FINALISTS[2] if times == 0 else winner


def farther(winner: Finalist, times: int) -> Finalist:
    """Every distance is another one; after the fourth the range ends."""
    return Finalist(f"{times} times", winner.genotype, {"lncc": -1.0 - min(times, 4)})


def played(run: Run, training: "Training", *, most: int = 5, rivals=along) -> tuple[Finalist, list[dict]]:
    return play_off(FINALISTS[:2], rivals, run, training.first_rounds, most=most, rounds=ROUNDS)


class Training:
    """Writes what a training leaves; `by alpha` diverges if told to."""

    def __init__(self, *, diverges: str | None = None, dies_at: str | None = None) -> None:
        self.diverges, self.dies_at, self.trained, self.begun = diverges, dies_at, [], {}

    def first_rounds(self, finalist: Finalist, folder: Path, name: str, rounds: int, begun: Path | None) -> None:
        assert rounds == ROUNDS * (2 if begun else 1)
        if begun:
            self.begun[finalist.name] = begun.name
        self(finalist, folder, name, scores=SCORES | (LATER if begun else {}))

    def __call__(self, finalist: Finalist, folder: Path, name: str, scores: dict[str, float] = SCORES) -> None:
        if finalist.name == self.dies_at:
            raise KeyboardInterrupt
        self.trained.append(finalist.name)
        folder.mkdir(parents=True, exist_ok=True)
        Ledger(folder / "cost.jsonl").add("train", "cpu", 10.0, wasted_seconds=1.0)
        if finalist.name == self.diverges:
            raise DivergedError("weights", 1, 2)
        result = {"status": "finished", "metrics": {"score": scores[finalist.name], "val_dice": 0.5}}
        (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    return RunPlan("search", tmp_path / "run", 0, "data", "hash", {}, "experiment", tracked=False)


def opened(plan: RunPlan):
    return open_run(plan, resume=True)


def spent(run: Run) -> float:
    return run.journal.ledger.total_device_seconds()


def test_the_best_by_the_score_wins_and_all_is_paid(plan) -> None:
    with opened(plan) as run:
        training = Training()
        winner, rows = played(run, training)
        assert winner.name == "default architecture"
        assert [row["score"] for row in rows] == [0.6, 0.7, 0.5, 0.7, 0.6]
        assert spent(run) == pytest.approx(55.0)
    assert training.begun == {"default architecture": "default-architecture", "by alpha": "by-alpha"}


def test_twice_the_rounds_have_the_last_word(plan, monkeypatch) -> None:
    monkeypatch.setitem(LATER, "by alpha", 0.8)
    with opened(plan) as run:
        winner, rows = played(run, Training())
    assert winner.name == "by alpha"
    assert rows[-1]["name"] == "by alpha" and rows[-1]["folder"] == "final/by-alpha"


def test_one_alone_is_taken_unseen(plan) -> None:
    training = Training()
    with opened(plan) as run:
        assert played(run, training, most=1) == (FINALISTS[0], [])
    assert training.trained == []


def test_loss_weights_are_tried_for_the_winner_while_there_is_room(plan) -> None:
    training = Training()
    with opened(plan) as run:
        winner, rows = played(run, training, most=2)
        assert winner.name == "default architecture" and len(rows) == 4
        assert training.trained == ["by alpha", "default architecture", "default architecture", "by alpha"]


def test_loss_weights_may_win(plan, monkeypatch) -> None:
    monkeypatch.setitem(SCORES, "default", 0.9)
    with opened(plan) as run:
        assert played(run, Training())[0].name == "default"


@pytest.mark.parametrize(
    ("scores", "entered"),
    [
        ({"2 times": 0.8, "4 times": 0.9}, ["2 times", "4 times"]),
        ({"2 times": 0.8, "4 times": 0.75}, ["2 times", "4 times"]),
        ({"2 times": 0.65, "0 times": 0.5}, ["2 times", "0 times"]),
    ],
)
def test_loss_weights_go_on_while_that_pays(plan, monkeypatch, scores, entered) -> None:
    for name, score in scores.items():
        monkeypatch.setitem(SCORES, name, score)
    with opened(plan) as run:
        winner, rows = played(run, Training(), most=9, rivals=farther)
    assert [row["name"] for row in rows[2:-2]] == entered
    assert winner.name == max(SCORES, key=lambda name: SCORES[name])


def test_one_that_diverges_is_out_but_paid(plan) -> None:
    with opened(plan) as run:
        winner, rows = played(run, Training(diverges="default architecture"))
        assert winner.name == "by alpha"
        assert rows[1]["score"] is None and "not finite" in rows[1]["diverged"]
        assert [row["name"] for row in rows[3:]] == ["by alpha", "default"]
        assert spent(run) == pytest.approx(55.0)


def test_after_a_stop_only_what_is_missing_is_trained(plan) -> None:
    first, second = Training(dies_at="default"), Training()
    with pytest.raises(KeyboardInterrupt), opened(plan) as run:
        played(run, first)
    with opened(plan) as run:
        winner, rows = played(run, second)
        assert winner.name == "default architecture" and len(rows) == 5
        assert second.trained == ["default", "default architecture", "by alpha"]
        assert spent(run) == pytest.approx(55.0)


def test_a_front_has_a_row_a_trained_candidate(plan) -> None:
    dices = {"by-alpha": 0.8, "default": 0.7}

    def measure(folder: Path) -> dict[str, float]:
        return {"dice": dices[folder.name], "folds_percent": 0.1, "hd95_mm": 2.0, "seconds_a_pair": 0.1}

    with opened(plan) as run:
        table = draw_front(FINALISTS, run, Training(diverges="default architecture"), measure)
    assert table["candidate"].tolist() == ["by alpha", "default"]
    assert table["on_front"].tolist() == [True, False]
    assert (plan.folder / "front.csv").exists()
    assert (plan.folder / "figures" / "front.png").exists()
