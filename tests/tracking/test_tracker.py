"""One contract for every tracker, and what only the MLflow one does."""

import contextlib
import io
import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from autoreg.errors import InputError
from autoreg.tracking import mlflow_tracker
from autoreg.tracking.mlflow_tracker import MlflowTracker, local_store, open_tracker
from autoreg.tracking.tracker import MemoryTracker, Tracker, metric_name

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 deprecates; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Folder of one migrated store for the module, and what making it wrote to stderr."""
    home = tmp_path_factory.mktemp("store")
    with contextlib.redirect_stderr(io.StringIO()) as noise:
        open_tracker(None, experiment="warm", run_name="first", home=home).close()
    return home, noise.getvalue()


@pytest.fixture
def home(store):
    return store[0]


def opened(home: Path, **rest) -> MlflowTracker:
    tracker = open_tracker(None, experiment="test", run_name="run", home=home, **rest)
    assert isinstance(tracker, MlflowTracker)
    return tracker


@pytest.fixture(params=["memory", "mlflow"])
def tracker(request, home):
    return MemoryTracker("run") if request.param == "memory" else opened(home)


def client(home):
    return mlflow_tracker.mlflow_module().MlflowClient(local_store(home)[0])


def seen(tracker: Tracker, home: Path) -> dict:
    """What the tracker's store holds, in one form for both."""
    if isinstance(tracker, MemoryTracker):
        return {
            "params": tracker.stored_params,
            "tags": tracker.stored_tags,
            "history": {name: sorted(rows.items()) for name, rows in tracker.history.items()},
            "files": {*tracker.figures, *(str(Path(f, p.name)) for p, f in tracker.artifacts)},
            "status": tracker.status,
        }
    run = client(home).get_run(tracker.run_id)
    return {
        "params": run.data.params,
        "tags": {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")},
        "history": {
            name: sorted((m.step, m.value) for m in client(home).get_metric_history(tracker.run_id, name))
            for name in run.data.metrics
        },
        "files": files(home, tracker.run_id),
        "status": run.info.status,
    }


def files(home, run_id, folder=None):
    found = set()
    for entry in client(home).list_artifacts(run_id, folder):
        found |= files(home, run_id, entry.path) if entry.is_dir else {entry.path}
    return found


def test_a_run_keeps_what_it_was_told(tracker, home, tmp_path):
    (tmp_path / "genotype.yaml").write_text("edges: {}")
    with tracker:
        tracker.params({"seed": 3, "space": "tiny"})
        tracker.tags({"host": "a"})
        tracker.tags({"host": "b"})
        tracker.metrics({"val_dice": 0.5, "alpha.a->b.conv3": 1}, step=1)
        tracker.metrics({"val_dice": 0.75}, step=2)
        tracker.artifact(tmp_path / "genotype.yaml", "search")
        tracker.figure(Figure(), "figures/alpha.png")
    assert seen(tracker, home) == {
        "params": {"seed": "3", "space": "tiny"},
        "tags": {"host": "b"},
        "history": {"val_dice": [(1, 0.5), (2, 0.75)], "alpha.a-_b.conv3": [(1, 1.0)]},
        "files": {"search/genotype.yaml", "figures/alpha.png"},
        "status": "FINISHED",
    }


def test_a_step_already_stored_is_dropped_whatever_the_order(tracker, home):
    for step, value in ((2, 0.2), (1, 0.1), (2, 9.0), (1, 9.0)):
        tracker.metrics({"score": value}, step=step)
    tracker.close()
    assert seen(tracker, home)["history"] == {"score": [(1, 0.1), (2, 0.2)]}


def test_not_a_number_survives(tracker, home):
    tracker.metrics({"val_dice": math.nan}, step=1)
    tracker.close()
    assert math.isnan(seen(tracker, home)["history"]["val_dice"][0][1])


def test_first_value_of_a_parameter_stays(tracker, home):
    tracker.params({"workers": 4})
    tracker.params({"workers": 4})
    tracker.params({"workers": 2})
    tracker.close()
    assert seen(tracker, home)["params"] == {"workers": "4"}


def test_an_exception_makes_the_run_failed(tracker, home):
    with pytest.raises(KeyError), tracker:
        raise KeyError("x")
    assert seen(tracker, home)["status"] == "FAILED"


def test_a_child_is_a_run_of_its_own(tracker, home):
    with tracker, tracker.child("trial 3", tags={"trial": 3}) as child:
        child.metrics({"score": 0.5}, step=0)
    assert seen(child, home)["history"] == {"score": [(0, 0.5)]}
    assert seen(child, home)["tags"] == {"trial": "3"}
    assert seen(tracker, home)["history"] == {}


@pytest.mark.parametrize(("name", "expected"), [("a->b.conv3", "a-_b.conv3"), ("lambda.lncc 9/x", "lambda.lncc 9/x")])
def test_metric_name_keeps_what_mlflow_allows(name, expected):
    assert metric_name(name) == expected


def test_a_new_local_store_is_quiet_and_complete(store, tmp_path):
    home, noise = store
    assert noise == ""
    assert (home / "mlflow.db").exists()
    assert local_store(home)[1] == (home / "mlartifacts").as_uri()


def test_artifacts_lie_in_the_home_folder(home, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with opened(home) as tracker:
        tracker.artifact(tmp_path / "a.txt")
    assert list((home / "mlartifacts").rglob("a.txt"))


def test_child_names_its_parent(home):
    with opened(home) as tracker, tracker.child("trial 1") as child:
        pass
    tags = client(home).get_run(child.run_id).data.tags
    assert tags["mlflow.parentRunId"] == tracker.run_id
    assert tags["mlflow.runName"] == "trial 1"


def test_resume_continues_the_run_without_doubled_rounds(home):
    first = opened(home, params={"seed": 1})
    for step in (1, 2, 3):
        first.metrics({"val_dice": step / 10}, step=step)
    first.close("FAILED")
    again = opened(home, run_id=first.run_id, params={"seed": 1})
    assert seen(again, home)["status"] == "RUNNING"
    for step in (2, 3, 4):
        again.metrics({"val_dice": 9.0 if step < 4 else 0.4}, step=step)
    again.close()
    assert seen(again, home)["history"] == {"val_dice": [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]}
    assert seen(again, home)["status"] == "FINISHED"


def test_child_is_resumed_by_its_id(home):
    with opened(home) as tracker:
        child = tracker.child("trial 1")
        child.metrics({"score": 1.0}, step=1)
        child.close("FAILED")
        with tracker.child("trial 1", run_id=child.run_id) as again:
            again.metrics({"score": 9.0}, step=1)
    assert again.run_id == child.run_id
    assert seen(again, home)["history"] == {"score": [(1, 1.0)]}


def test_metrics_wait_until_there_are_many_or_time_has_passed(home, monkeypatch):
    tracker = opened(home)
    tracker.metrics({f"m{i}": 0.0 for i in range(499)}, step=1)
    assert seen(tracker, home)["history"] == {}
    tracker.metrics({"m499": 0.0}, step=1)
    assert len(seen(tracker, home)["history"]) == 500
    tracker.metrics({"late": 0.0}, step=1)
    monkeypatch.setattr(mlflow_tracker, "_FLUSH_SECONDS", 0.0)
    tracker.metrics({"later": 0.0}, step=1)
    assert len(seen(tracker, home)["history"]) == 502
    tracker.close()


def test_more_than_a_batch_of_metrics_and_params(home, monkeypatch):
    sizes = []
    tracker = opened(home)
    send = tracker._client.log_batch

    def counted(run_id, metrics=(), params=(), tags=()):
        sizes.append((len(metrics), len(params)))
        send(run_id, metrics=metrics, params=params, tags=tags)

    monkeypatch.setattr(tracker._client, "log_batch", counted)
    tracker.params({f"p{i}": i for i in range(150)} | {"long": "x" * 7000})
    tracker.metrics({f"m{i}": 0.0 for i in range(1001)}, step=1)
    tracker.close()
    assert sizes == [(0, 100), (0, 51), (1000, 0), (1, 0)]
    stored = seen(tracker, home)
    assert (len(stored["params"]), len(stored["history"]), len(stored["params"]["long"])) == (151, 1001, 6000)


class Outage:
    """Makes a tracker's client fail while `on`."""

    def __init__(self, tracker, monkeypatch):
        self.on = True
        for verb in ("log_batch", "log_artifact", "create_run", "set_terminated"):
            monkeypatch.setattr(tracker._client, verb, self._guard(getattr(tracker._client, verb)))

    def _guard(self, real):
        def call(*args, **kwargs):
            if self.on:
                raise mlflow_tracker.mlflow_module().exceptions.MlflowException("API request failed\nlong trace")
            return real(*args, **kwargs)

        return call


@pytest.fixture
def no_wait(monkeypatch):
    monkeypatch.setattr(mlflow_tracker, "_RETRY_SECONDS", 0.0)


def pending(home, tracker):
    return home / f"pending_metrics.{tracker.run_id}.jsonl"


def test_an_absent_store_delays_records_and_warns_once(home, tmp_path, monkeypatch, no_wait, caplog):
    (tmp_path / "a.txt").write_text("a")
    tracker = opened(home)
    outage = Outage(tracker, monkeypatch)
    tracker.params({"seed": 1})
    tracker.tags({"host": "a"})
    tracker.artifact(tmp_path / "a.txt")
    for step in (1, 2):
        tracker.metrics({"val_dice": step / 10}, step=step)
        tracker.flush()
    assert len(caplog.records) == 1 and "API request failed" in caplog.text and "long trace" not in caplog.text
    assert pending(home, tracker).exists()
    outage.on = False
    tracker.close()
    assert not pending(home, tracker).exists()
    assert seen(tracker, home) == {
        "params": {"seed": "1"},
        "tags": {"host": "a"},
        "history": {"val_dice": [(1, 0.1), (2, 0.2)]},
        "files": {"a.txt"},
        "status": "FINISHED",
    }


def test_what_was_spilled_before_a_kill_arrives_with_the_resume(home, monkeypatch):
    tracker = opened(home)
    tracker.metrics({"val_dice": 0.1}, step=1)
    tracker.flush()
    Outage(tracker, monkeypatch)
    tracker.metrics({"val_dice": 0.2}, step=2)
    tracker.params({"seed": 1})
    # Row 1 as if the store had taken it without the answer coming back.
    tracker._outbox.points.insert(0, tracker._outbox.points[0]._replace(value=0.1, step=1))
    tracker.flush()
    again = opened(home, run_id=tracker.run_id, params={"seed": 1})
    again.metrics({"val_dice": 9.0}, step=2)
    again.close()
    assert seen(again, home)["history"] == {"val_dice": [(1, 0.1), (2, 0.2)]}
    assert seen(again, home)["params"] == {"seed": "1"}


def test_a_call_without_an_answer_is_not_carried_out_twice(home, monkeypatch, no_wait):
    tracker = opened(home)
    send = tracker._client.log_batch

    def deaf(run_id, **batch):
        send(run_id, **batch)
        raise ConnectionError("answer lost")

    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "log_batch", deaf)
        tracker.metrics({"val_dice": 0.1}, step=1)
        tracker.flush()
    # a store that takes a row twice when it comes with another time
    tracker._outbox.points = [point._replace(time_ms=point.time_ms + 5) for point in tracker._outbox.points]
    tracker.metrics({"val_dice": 0.2}, step=2)
    tracker.close()
    assert seen(tracker, home)["history"] == {"val_dice": [(1, 0.1), (2, 0.2)]}


def test_a_run_is_continued_while_its_store_is_away(home, monkeypatch, no_wait, caplog):
    tracker = opened(home)
    tracker.metrics({"val_dice": 0.1}, step=1)
    tracker.close("FAILED")
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.get_run", lambda *_: (_ for _ in ()).throw(ConnectionError("refused")))
        again = opened(home, run_id=tracker.run_id, params={"seed": 1})
        for step in (1, 2):
            again.metrics({"val_dice": step / 10}, step=step)
        again.flush()
        assert pending(home, again).exists()
    again.close()
    assert "refused" in caplog.text
    assert seen(again, home)["history"] == {"val_dice": [(1, 0.1), (2, 0.2)]}
    assert seen(again, home)["params"] == {"seed": "1"}


def test_an_absent_store_is_left_alone_for_a_while(home, monkeypatch):
    tracker = opened(home)
    outage = Outage(tracker, monkeypatch)
    tracker.tags({"a": 1})
    outage.on = False
    tracker.tags({"b": 1})
    assert seen(tracker, home)["tags"] == {}
    tracker.close()  # the last chance is always taken
    assert seen(tracker, home)["tags"] == {"a": "1", "b": "1"}


def test_a_child_without_a_store_lives_in_memory(home, monkeypatch):
    tracker = opened(home)
    outage = Outage(tracker, monkeypatch)
    assert isinstance(tracker.child("trial 1"), MemoryTracker)
    outage.on = False
    tracker.close()


def test_what_the_store_refuses_is_an_error(home):
    tracker = opened(home)
    tracker.metrics({"n" * 300: 1.0}, step=1)
    with pytest.raises(mlflow_tracker.mlflow_module().exceptions.MlflowException, match="exceeds"):
        tracker.flush()


def test_artifact_that_does_not_exist_is_an_error_at_the_door(home, tmp_path):
    with opened(home) as tracker, pytest.raises(FileNotFoundError, match="nowhere"):
        tracker.artifact(tmp_path / "nowhere.txt")


def test_changed_parameter_is_reported(home, caplog):
    with opened(home, params={"workers": 4}) as tracker, caplog.at_level(logging.WARNING):
        tracker.params({"workers": 2})
    assert "parameter workers stays 4 (set once), got 2" in caplog.text


@pytest.mark.parametrize(
    ("uri", "run_id", "text"),
    [
        (None, "nope", "a store that opens run nope, got: Run with id=nope not found"),
        ("http://127.0.0.1:9", None, "tracking uri http://127.0.0.1:9: expected a store that answers"),
        ("nonsense://x", None, "unsupported URI"),
    ],
)
def test_a_store_that_cannot_be_opened(home, uri, run_id, text, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=text):
        open_tracker(uri, experiment="test", run_name="run", run_id=run_id, home=home)


def test_a_damaged_local_store_is_one_line(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"mlflow\.db: expected a store that answers, got: .*not a database") as caught:
        open_tracker(None, experiment="damaged", run_name="run", home=tmp_path)
    assert "\n" not in str(caught.value)


def test_first_runs_may_open_a_new_store_at_the_same_moment(tmp_path):
    program = (
        "from pathlib import Path; from autoreg.tracking.mlflow_tracker import open_tracker, mlflow_module;"
        "mlflow_module(); print('imported', flush=True); input();"
        f"open_tracker(None, experiment='test', run_name='run', home=Path({str(tmp_path)!r})).close()"
    )
    command = [sys.executable, "-c", program]
    processes = [
        subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "imported\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert len(client(tmp_path).search_runs(["1"])) == 2
