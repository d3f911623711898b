"""Trainings that are begun decide, are not repeated after a stop, and their cost is the search's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from autoreg.config import load_space
from autoreg.errors import DivergedError
from autoreg.finals import HEATS, SHORT_FINAL, draw_front, play_off
from autoreg.networks import Genotype
from autoreg.search.finalists import Finalist
from autoreg.search.run import Run, RunPlan, open_run
from autoreg.tracking.ledger import Ledger

SPACE = load_space("tiny", dims=3)
ALPHA, DEFAULT = (Genotype.uniform(SPACE.architecture, name) for name in ("dil3", "conv3"))
BY_ALPHA = Finalist("by alpha", ALPHA, {"lncc": 1.0})
ARCHITECTURES = [BY_ALPHA, Finalist("default architecture", DEFAULT, {"lncc": 1.0})]
SCORES = {
    "default loss weights": 0.5,
    "by alpha": 0.6,
    "default architecture": 0.7,
    "defaults": 0.5,
    "2 times": 0.8,
    "4 times": 0.75,
}
SEMI_FINAL = ["by alpha", "default architecture", "defaults"]
ROUNDS = 3


def along(finalist: Finalist, times: int) -> Finalist:
    """Every distance is another one; after the fourth the range ends."""
    name = f"{times} times" if times else "default loss weights"
    return Finalist(name, finalist.genotype, {"lncc": 10.0 - min(times, 4)})


def played(run: Run, training: "Training", *, most: int = 9, entering=ARCHITECTURES) -> tuple[Finalist, list[dict]]:
    return play_off(entering, along, run, training.first_rounds, most=most, rounds=ROUNDS)


class Training:
    """Writes what a training leaves; `by alpha` diverges if told to."""

    def __init__(self, *, diverges: str | None = None, dies_at: str | None = None, in_final=None, heats=HEATS) -> None:
        self.diverges, self.dies_at, self.in_final = diverges, dies_at, in_final or {}
        self.trained, self.begun, self.heats = [], {}, dict(heats)

    def first_rounds(self, finalist: Finalist, folder: Path, name: str, rounds: int, begun: Path | None) -> None:
        assert rounds == ROUNDS * self.heats.get(folder.parent.name, 1)
        if begun:
            self.begun["/".join(folder.parts[-2:])] = "/".join(begun.parts[-2:])
        self(finalist, folder, name)

    def __call__(self, finalist: Finalist, folder: Path, name: str) -> None:
        if finalist.name == self.dies_at:
            raise KeyboardInterrupt
        self.trained.append(finalist.name)
        score = (self.in_final if folder.parent.name == "final" else {}).get(finalist.name, SCORES[finalist.name])
        folder.mkdir(parents=True, exist_ok=True)
        Ledger(folder / "cost.jsonl").add("train", "cpu", 10.0, wasted_seconds=1.0)
        if finalist.name == self.diverges:
            raise DivergedError("weights", 1, 2)
        result = {"status": "finished", "metrics": {"score": score, "val_dice": 0.5}}
        (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    return RunPlan("search", tmp_path / "run", 0, "data", "hash", {}, "experiment", tracked=False)


def opened(plan: RunPlan):
    return open_run(plan, resume=True)


def spent(run: Run) -> float:
    return run.journal.ledger.total_device_seconds()


def names(rows: list[dict]) -> list[str]:
    return [row["folder"] for row in rows]


def test_the_best_loss_weights_and_then_the_best_architecture(plan) -> None:
    training = Training()
    with opened(plan) as run:
        winner, rows = played(run, training)
        assert names(rows) == [
            "finalists/by-alpha",
            "finalists/2-times",
            "finalists/4-times",
            "semi-final/2-times",
            "semi-final/default-architecture",
            "semi-final/defaults",
            "final/2-times",
            "final/default-architecture",
        ]
        assert spent(run) == pytest.approx(88.0)
    assert (winner.name, winner.genotype, winner.loss_weights) == ("2 times", ALPHA, {"lncc": 8.0})
    assert training.begun == {
        "semi-final/2-times": "finalists/2-times",
        "final/2-times": "semi-final/2-times",
        "final/default-architecture": "semi-final/default-architecture",
    }


def test_the_default_architecture_gets_the_best_loss_weights(plan, monkeypatch) -> None:
    monkeypatch.setitem(SCORES, "default architecture", 0.9)
    with opened(plan) as run:
        winner, _ = played(run, Training())
    assert winner == Finalist("default architecture", DEFAULT, {"lncc": 8.0})


@pytest.mark.parametrize(("in_final", "first"), [(0.85, "default architecture"), (0.75, "2 times")])
def test_the_final_decides_among_the_best_of_the_semi_final(plan, in_final, first) -> None:
    with opened(plan) as run:
        winner, rows = played(run, Training(in_final={"default architecture": in_final}))
    assert winner.name == first
    assert names(rows)[-2:] == ["final/2-times", "final/default-architecture"]


@pytest.mark.parametrize(
    ("scores", "entered"),
    [
        ({"2 times": 0.8, "4 times": 0.9}, ["2-times", "4-times"]),
        ({"2 times": 0.55}, ["2-times"]),
        ({"2 times": 0.595, "4 times": 0.4}, ["2-times", "4-times"]),
        ({"2 times": 0.9, "4 times": 0.95, "8 times": 0.99}, ["2-times", "4-times"]),
    ],
)
def test_loss_weights_go_on_while_that_pays(plan, monkeypatch, scores, entered) -> None:
    for name, score in scores.items():
        monkeypatch.setitem(SCORES, name, score)
    with opened(plan) as run:
        _, rows = played(run, Training())
    assert [name for name in names(rows)[1:] if name.startswith("finalists/")] == [f"finalists/{e}" for e in entered]


@pytest.mark.parametrize(
    ("scores", "first"),
    [
        ({"by alpha": 0.9, "2 times": 0.895, "4 times": 0.892}, "4 times"),
        ({"by alpha": 0.9, "2 times": 0.895, "4 times": 0.885}, "2 times"),
        ({"by alpha": 0.9, "2 times": 0.895, "4 times": 0.92}, "4 times"),
    ],
)
def test_the_farthest_of_loss_weights_that_are_close_goes_on(plan, monkeypatch, scores, first) -> None:
    for name, score in scores.items():
        monkeypatch.setitem(SCORES, name, score)
    with opened(plan) as run:
        winner, _ = played(run, Training(heats=SHORT_FINAL), entering=ARCHITECTURES[:1])
    assert winner.name == first


def test_the_first_enters_with_loss_weights_one_time_as_far(plan, monkeypatch) -> None:
    """Not with those of the search as they are: regularity is raised with what grew."""
    monkeypatch.setitem(SCORES, "by alpha", 0.9)
    searched = [replace(finalist, loss_weights={"lncc": 3.0}) for finalist in ARCHITECTURES]
    with opened(plan) as run:
        winner, _ = played(run, Training(), entering=searched)
    assert (winner.name, winner.loss_weights) == ("by alpha", along(searched[0], 1).loss_weights)


def test_one_alone_is_taken_unseen(plan) -> None:
    training = Training()
    with opened(plan) as run:
        assert played(run, training, most=1) == (BY_ALPHA, [])
    assert training.trained == []


def test_all_defaults_may_win(plan, monkeypatch) -> None:
    monkeypatch.setitem(SCORES, "defaults", 0.9)
    with opened(plan) as run:
        winner, _ = played(run, Training())
    assert (winner.genotype, winner.loss_weights) == (DEFAULT, {"lncc": 10.0})


@pytest.mark.parametrize(
    ("most", "trained"),
    [
        (2, ["by alpha", "by alpha", "default architecture"]),
        (3, ["by alpha", *SEMI_FINAL, "default architecture", "by alpha"]),
        (4, ["by alpha", "2 times", "2 times", *SEMI_FINAL[1:], "2 times", "default architecture"]),
    ],
)
def test_defaults_come_before_farther_loss_weights(plan, most, trained) -> None:
    training = Training()
    with opened(plan) as run:
        played(run, training, most=most)
    assert training.trained == trained


def test_where_there_is_one_architecture_the_loss_weights_meet_the_starts(plan) -> None:
    with opened(plan) as run:
        winner, rows = played(run, Training(heats=SHORT_FINAL), entering=ARCHITECTURES[:1])
    assert names(rows)[-2:] == ["final/2-times", "final/defaults"]
    assert winner.name == "2 times"


@pytest.mark.parametrize(
    ("in_final", "last", "first"),
    [
        ({"2 times": 0.6, "defaults": 0.65, "by alpha": 0.7}, ["2-times", "defaults", "by-alpha"], "by alpha"),
        ({"2 times": 0.6, "defaults": 0.65, "by alpha": 0.62}, ["2-times", "defaults", "by-alpha"], "defaults"),
        ({"2 times": 0.6, "defaults": 0.55}, ["2-times", "defaults"], "2 times"),
    ],
)
def test_before_the_starts_are_taken_nearer_loss_weights_get_the_final(plan, in_final, last, first) -> None:
    training = Training(in_final=in_final, heats=SHORT_FINAL)
    with opened(plan) as run:
        winner, rows = played(run, training, entering=ARCHITECTURES[:1])
    assert winner.name == first
    assert [name for name in names(rows) if name.startswith("final/")] == [f"final/{name}" for name in last]
    if "by-alpha" in last:
        assert training.begun["final/by-alpha"] == "finalists/by-alpha"


def test_a_stop_while_nearer_loss_weights_have_the_final_repeats_nothing(plan) -> None:
    class Dying(Training):
        def __call__(self, finalist: Finalist, folder: Path, name: str) -> None:
            if folder.parts[-2:] == ("final", "by-alpha"):
                raise KeyboardInterrupt
            super().__call__(finalist, folder, name)

    how = {"in_final": {"2 times": 0.6, "defaults": 0.65, "by alpha": 0.7}, "heats": SHORT_FINAL}
    second = Training(**how)
    with pytest.raises(KeyboardInterrupt), opened(plan) as run:
        played(run, Dying(**how), entering=ARCHITECTURES[:1])
    with opened(plan) as run:
        winner, rows = played(run, second, entering=ARCHITECTURES[:1])
        assert (winner.name, second.trained) == ("by alpha", ["by alpha"])
        assert spent(run) == pytest.approx(11.0 * len(rows))


def test_nearer_loss_weights_that_diverged_stay_out(plan) -> None:
    training = Training(diverges="by alpha", in_final={"2 times": 0.6, "defaults": 0.65}, heats=SHORT_FINAL)
    with opened(plan) as run:
        winner, rows = played(run, training, entering=ARCHITECTURES[:1])
    assert winner.name == "defaults"
    assert [name for name in names(rows) if name.startswith("final/")] == ["final/2-times", "final/defaults"]


def test_any_nearer_loss_weights_beat_starts_that_diverged_in_the_final(plan, monkeypatch) -> None:
    """The starts led until then."""

    class Exploding(Training):
        def __call__(self, finalist: Finalist, folder: Path, name: str) -> None:
            if folder.parent.name == "final" and finalist.name != "by alpha":
                raise DivergedError("weights", 1, 2)
            super().__call__(finalist, folder, name)

    monkeypatch.setitem(SCORES, "defaults", 0.9)
    with opened(plan) as run:
        winner, rows = played(run, Exploding())
    assert [row["score"] for row in rows if row["folder"].startswith("final/")] == [None, None, 0.6]
    assert winner.name == "by alpha"


def test_one_that_diverges_is_out_but_paid(plan) -> None:
    with opened(plan) as run:
        winner, rows = played(run, Training(diverges="2 times"))
        assert rows[1]["score"] is None and "not finite" in rows[1]["diverged"]
        assert names(rows)[2:5] == [f"semi-final/{name.replace(' ', '-')}" for name in SEMI_FINAL]
        assert names(rows)[5:] == ["final/default-architecture", "final/by-alpha"]
        assert winner.name == "default architecture"
        assert spent(run) == pytest.approx(77.0)


def test_when_the_searched_diverges_the_defaults_are_left(plan) -> None:
    with opened(plan) as run:
        winner, rows = played(run, Training(diverges="by alpha", heats=SHORT_FINAL), most=3)
        assert [row["score"] for row in rows] == [None, 0.7, 0.5]
        assert winner.name == "default architecture"


def test_after_a_stop_only_what_is_missing_is_trained(plan) -> None:
    first, second = Training(dies_at="4 times"), Training()
    with pytest.raises(KeyboardInterrupt), opened(plan) as run:
        played(run, first)
    with opened(plan) as run:
        winner, rows = played(run, second)
        assert winner.name == "2 times" and len(rows) == 8
        assert second.trained == ["4 times", "2 times", *SEMI_FINAL[1:], "2 times", "default architecture"]
        assert spent(run) == pytest.approx(88.0)


def test_a_front_has_a_row_a_trained_candidate(plan) -> None:
    dices = {"by-alpha": 0.8, "default-loss-weights": 0.7}

    def measure(folder: Path) -> dict[str, float]:
        return {"dice": dices[folder.name], "folds_percent": 0.1, "hd95_mm": 2.0, "seconds_a_pair": 0.1}

    with opened(plan) as run:
        every = [*ARCHITECTURES, along(BY_ALPHA, 0)]
        table = draw_front(every, run, Training(diverges="default architecture"), measure)
    assert table["candidate"].tolist() == ["by alpha", "default loss weights"]
    assert table["on_front"].tolist() == [True, False]
    assert (plan.folder / "front.csv").exists()
    assert (plan.folder / "figures" / "front.png").exists()
