"""Data sets, caches and runs in a real S3 store on loopback, which errs, waits, and is left by machines that die."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from object_store import BUCKET, Door, door_to, free_port, request, s3_server

from autoreg import api, experiment
from autoreg.config import Config, load_config, shipped
from autoreg.data.check import check_dataset
from autoreg.data.dataset import DataConfig, load_dataset
from autoreg.data.fetched import local_dataset
from autoreg.data.shards import build_cache, node_copy, open_cache
from autoreg.errors import BusyError, DataError, InputError, StorageError
from autoreg.mirror import Mirror, share, working_folder
from autoreg.storage import Store, as_location, copy_folder, inside, local_cache

CONFIG = shipped("launchers") / "configs" / "smoke.yaml"
SETTINGS = ["workers.local=true", "workers.count=1", "search.rounds=6", "search.finalists=1"]
SET = f"s3://{BUCKET}/set/dataset.json"
TIMES = ["seconds", "device_seconds", "sum_seconds"]


@pytest.fixture(scope="module")
def server(flat_phantoms: Path) -> Iterator[int]:
    with s3_server() as port:
        for path in flat_phantoms.parent.rglob("*"):
            if path.is_file():
                name = path.relative_to(flat_phantoms.parent).as_posix()
                request(port, "PUT", f"/{BUCKET}/set/{name}", path.read_bytes())
        request(port, "PUT", f"/{BUCKET}/set/images/stranger.nii.gz", b"nobody's")
        yield port


@pytest.fixture
def door(server: int, machine: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    with door_to(server) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{door.port}")
        yield door


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has nothing yet, and credentials in its environment alone."""
    monkeypatch.setenv("AUTOREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTOREG_STORE_PATIENCE", "3")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAUSER",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the MLflow store."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def config(home: Path) -> Config:
    return load_config(CONFIG, [*SETTINGS, f"tracking.home={home}"])


@pytest.fixture(scope="module")
def calm(flat_phantoms: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same search on local files, undisturbed."""
    return experiment.search(config, dataset=flat_phantoms, output=tmp_path_factory.mktemp("calm") / "run")


def assert_same_result(folder: Path, calm: Path) -> None:
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (folder / name).read_bytes() == (calm / name).read_bytes()
    found, expected = (pd.read_parquet(path / "history.parquet").drop(columns=TIMES) for path in (folder, calm))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def object_in(server: int, name: str) -> bytes:
    status, content = request(server, "GET", f"/{BUCKET}/{name}")
    assert status == 200
    return content


def kill_after_a_round(server: int, config: Config, output: str, rounds: int) -> None:
    """Search into a store in a process of its own, and kill that once the store has so many rounds."""
    command = [sys.executable, "-m", "autoreg", "search", str(CONFIG), "--dataset", SET, "--output", output, "--quiet"]
    for setting in [*SETTINGS, f"tracking.home={config.tracking.home}"]:
        command += ["--set", setting]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        name = f"{output.removeprefix('s3://')}/checkpoints/round_{rounds:06d}.pt"
        while request(server, "GET", f"/{name}")[0] != 200:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_another_machine_goes_on_with_a_killed_search(server, door, config, calm, tmp_path, monkeypatch, caplog):
    run = f"s3://{BUCKET}/killed"
    kill_after_a_round(server, config, run, 2)
    monkeypatch.setenv("AUTOREG_CACHE", str(tmp_path / "elsewhere"))
    there = replace(config, tracking=replace(config.tracking, home=str(tmp_path / "home")))
    found = api.search(there, dataset=SET, output=run, resume=True)
    assert_same_result(found.folder, calm)
    assert "no such run" in caplog.text
    assert "hush" not in (found.folder / "config.yaml").read_text() + caplog.text
    written = json.loads(object_in(server, "killed/result.json"))
    assert written["status"] == "finished"
    assert written["device_seconds"]["search"] > 0
    assert SET in object_in(server, "killed/config.yaml").decode()
    trained = api.train(found, dataset=SET, output=f"{run}/beside")
    scored = api.evaluate(trained, dataset=SET)
    assert (scored.folder / "pairs.parquet").exists()
    assert object_in(server, "killed/beside/model.pt") == (trained.folder / "model.pt").read_bytes()


@pytest.mark.slow
def test_the_command_line_takes_uris(server, door, calm, capsys):
    from autoreg.cli import main

    with working_folder(f"s3://{BUCKET}/copied") as folder:
        for name in ("config.yaml", "result.json", "genotype.yaml", "loss_weights.yaml", "history.parquet"):
            (folder / name).write_bytes((calm / name).read_bytes())
    run = f"s3://{BUCKET}/copied"
    for command in (
        ["data", "check", SET],
        ["train", "--search", run, "--dataset", SET, "--quiet"],
        ["evaluate", f"{run}/train", "--dataset", SET, "--quiet"],
        ["status", f"{run}/train"],
    ):
        main(command, standalone_mode=False)
    told = capsys.readouterr().out
    assert f"{run}/train/test" in told
    assert "finished" in told
    assert len(object_in(server, "copied/train/test/pairs.parquet")) > 100


@pytest.mark.slow
def test_a_store_away_ends_the_search_which_then_goes_on(server, door, config, calm, monkeypatch):
    run = f"s3://{BUCKET}/away"
    monkeypatch.setenv("AUTOREG_STORE_PATIENCE", "1")
    door.concerns = lambda method, path: "round_000004" in path or door.status == 500
    door.status = 503
    with pytest.raises(StorageError, match=rf"{run}/checkpoints/round_000004.pt: write: expected .*503.*--resume"):
        api.search(config, dataset=SET, output=run)
    local = copy_folder("runs", run)
    assert len(pd.read_parquet(local / "history.parquet")) == 4
    door.status = None
    found = api.search(config, dataset=SET, output=run, resume=True)
    assert_same_result(found.folder, calm)
    with pytest.raises(InputError, match=f"{run}: holds a run already"):
        api.search(config, dataset=SET, output=run)


def test_only_what_the_data_set_names_is_fetched_and_once(door, flat_phantoms):
    copy = local_dataset(SET)
    assert check_dataset(copy) == []
    assert load_dataset(copy).fingerprint == load_dataset(flat_phantoms).fingerprint
    assert not (copy.parent / "images" / "stranger.nii.gz").exists()
    door.requests.clear()
    local_dataset(SET)
    assert not [line for line in door.requests if line.startswith("GET") and ".nii" in line]


def test_a_fetch_that_was_stopped_goes_on(server, door, monkeypatch):
    monkeypatch.setenv("AUTOREG_STORE_PATIENCE", "1")
    door.concerns = lambda method, path: method == "GET" and "labels" in path and ".nii" in path
    door.status = 500
    with pytest.raises(StorageError, match="labels"):
        local_dataset(SET)
    door.status = None
    there = {path.name for path in (copy_folder("datasets", f"s3://{BUCKET}/set") / "images").iterdir()}
    door.requests.clear()
    assert check_dataset(local_dataset(SET)) == []
    again = {line.rpartition("/")[2] for line in door.requests if line.startswith(f"GET /{BUCKET}/set/images/")}
    assert there
    assert not again & there


def test_a_changed_file_is_fetched_again(server, door):
    copy = local_dataset(SET)
    subject = sorted(path.name for path in (copy.parent / "images").iterdir())[0]
    whole = object_in(server, f"set/images/{subject}")
    request(server, "PUT", f"/{BUCKET}/set/images/{subject}", whole[:100])
    try:
        problems = check_dataset(local_dataset(SET))
        assert problems
        assert all(subject in problem or "labels" in problem for problem in problems)
    finally:
        request(server, "PUT", f"/{BUCKET}/set/images/{subject}", whole)
    assert check_dataset(local_dataset(SET)) == []


@pytest.mark.parametrize("image", ["../set/images/x.nii.gz", "/etc/x.nii.gz", "images/../../x.nii.gz"])
def test_a_description_cannot_lead_out_of_its_folder(server, door, image):
    request(server, "PUT", f"/{BUCKET}/x.nii.gz", b"secret")
    request(server, "PUT", f"/{BUCKET}/evil/dataset.json", json.dumps({"training": [{"image": image}]}).encode())
    problems = check_dataset(local_dataset(f"s3://{BUCKET}/evil/dataset.json"))
    assert any("expected a path inside the dataset's folder" in problem for problem in problems)
    assert not list(local_cache().rglob("x.nii.gz"))


def test_a_list_of_files_cannot_lead_out_of_its_folder(server, door):
    manifest = {"stamp": "1", "files": {"../../outside": ["0" * 64]}}
    request(server, "PUT", f"/{BUCKET}/evil-run/mirror.json", json.dumps(manifest).encode())
    with (
        pytest.raises(InputError, match=r"inside this folder, got '\.\./\.\./outside'"),
        working_folder(f"s3://{BUCKET}/evil-run"),
    ):
        pass


@pytest.mark.parametrize(
    ("uri", "status", "error", "words"),
    [
        (
            f"s3://{BUCKET}/none/dataset.json",
            None,
            DataError,
            "none/dataset.json: file: expected a dataset.json, got none",
        ),
        ("s3://nobody-has-it/set/dataset.json", None, DataError, "nobody-has-it/set/dataset.json: file: expected"),
        (SET, 403, InputError, "set/dataset.json: read: expected a place that is there for us, got: .*ACCESS_DENIED"),
        (SET, 500, StorageError, "set/dataset.json: read: expected an answer .*500.*--resume"),
        (SET, 503, StorageError, "set/dataset.json: read: expected an answer .*503"),
    ],
)
def test_errors_are_one_line_with_uri_and_operation(door, monkeypatch, uri, status, error, words):
    monkeypatch.setenv("AUTOREG_STORE_PATIENCE", "1")
    door.status = status
    with pytest.raises(error, match=words) as caught:
        local_dataset(uri)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_store_that_is_not_there(machine, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AUTOREG_STORE_PATIENCE", "1")
    with pytest.raises(StorageError, match=r"expected an answer of the store, got .*onnect"):
        local_dataset(SET)


def test_writing_to_no_bucket(door):
    with (
        pytest.raises(InputError, match=r"nobody-has-it/run/mirror.json: write: .*NO_SUCH_BUCKET"),
        working_folder("s3://nobody-has-it/run") as folder,
    ):
        (folder / "file").write_text("content")


def test_a_store_that_errs_for_a_while_is_waited_for(door, monkeypatch):
    monkeypatch.setenv("AUTOREG_STORE_PATIENCE", "30")
    door.status = 503
    timer = threading.Timer(2.5, lambda: setattr(door, "status", None))
    timer.start()
    assert check_dataset(local_dataset(SET)) == []
    timer.join()


def test_a_slow_store_is_waited_for(door):
    door.concerns = lambda method, path: method == "HEAD" and "dataset.json" in path
    door.seconds = 3.5  # longer than Amazon's library waits by itself
    assert local_dataset(SET).exists()


def test_an_answer_that_ends_in_the_middle_is_not_a_file(door, monkeypatch):
    monkeypatch.setenv("AUTOREG_STORE_PATIENCE", "1")
    door.cut = True
    door.concerns = lambda method, path: method == "GET" and "images/" in path
    with pytest.raises(StorageError, match=r"images/.*: read: expected an answer"):
        local_dataset(SET)
    assert not list(copy_folder("datasets", f"s3://{BUCKET}/set").rglob("images/*"))


def test_a_file_of_a_run_that_was_cut_short_is_noticed(server, door, tmp_path, monkeypatch):
    run = f"s3://{BUCKET}/torn"
    with working_folder(run) as folder:
        (folder / "model.pt").write_bytes(b"x" * 1000)
    request(server, "PUT", f"/{BUCKET}/torn/model.pt", b"x" * 500)
    monkeypatch.setenv("AUTOREG_CACHE", str(tmp_path / "elsewhere"))
    words = rf"{run}/model.pt: read: expected a file with the checksum .*500 bytes"
    with pytest.raises(InputError, match=words), working_folder(run):
        pass


@pytest.mark.parametrize("puts", range(1, 5))
def test_a_machine_that_dies_while_it_sends_leaves_files_that_belong(server, door, tmp_path, monkeypatch, puts):
    """Each file is the old or the new one, whole; a later push mends the rest."""
    run = f"s3://{BUCKET}/dying-{puts}"
    first = Mirror(run, tmp_path / "first")
    first.pull()
    write_files(first.folder, "old")
    first.push()
    sent: list[str] = []

    def late(method: str, path: str) -> bool:
        sent.extend([path] if method == "PUT" else [])
        return len(sent) > puts

    write_files(first.folder, "renewed")
    (first.folder / "c").unlink()
    door.concerns, door.status = late, 403
    with pytest.raises(InputError):
        first.push()
    door.status = None
    second = Mirror(run, tmp_path / "second")
    second.pull()
    found = {path.name: path.read_text() for path in second.folder.iterdir()}
    assert found["a"] in ("old", "renewed") and found["b"] in ("old", "renewed")
    again = Mirror(run, tmp_path / "first")
    again.pull()
    assert (again.folder / "a").read_text() == "renewed"  # its own newer files stay
    again.push()
    second.pull()
    assert {path.name: path.read_text() for path in second.folder.iterdir()} == {"a": "renewed", "b": "renewed"}


def write_files(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in "abc":
        (folder / name).write_text(text)


def test_who_was_replaced_by_another_machine_ends(door, tmp_path):
    run = f"s3://{BUCKET}/two"
    first, second = (Mirror(run, tmp_path / name) for name in ("first", "second"))
    for mirror in (first, second):
        mirror.pull()
        write_files(mirror.folder, mirror.folder.name)
    second.push()
    with pytest.raises(StorageError, match=f"{run}: write: expected this process to be the only one"):
        first.push()


def test_one_process_of_a_machine_works_in_a_folder_and_others_may_look(door):
    run = f"s3://{BUCKET}/busy"
    with working_folder(run) as folder:
        (folder / "file").write_text("content")
        with pytest.raises(BusyError, match=f"{run}: another process"), working_folder(run):
            pass
        with working_folder(run, write=False) as seen:
            assert (seen / "file").read_text() == "content"
        share(folder / "below")
        assert Store(run).read("file") == b"content"


def test_a_cache_on_a_uri_is_built_once_for_all_nodes(door, flat_phantoms, tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREG_CACHE", f"s3://{BUCKET}/cache")
    monkeypatch.setenv("AUTOREG_NODE_CACHE", str(tmp_path / "one"))
    dataset = load_dataset(flat_phantoms)
    cache = build_cache(dataset, DataConfig())
    assert str(cache).startswith(f"s3://{BUCKET}/cache/")
    monkeypatch.setenv("AUTOREG_NODE_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr("autoreg.data.shards._write", None)  # nobody builds it a second time
    assert build_cache(dataset, DataConfig()) == cache
    monkeypatch.setenv("AUTOREG_NODE_CACHE", str(tmp_path / "three"))
    copy = node_copy(str(cache))
    assert copy.parent == tmp_path / "three"
    assert len(open_cache(copy)) == 8
    with pytest.raises(DataError, match="expected a cache of volumes with its checksum"):
        node_copy(f"s3://{BUCKET}/cache/other.arrow")


@pytest.mark.parametrize(
    "uri", ["s3://user:hush@bucket/x", "abfs://c@a.net/x?sas_token=hush", "s3://bucket/x?secret_key=hush&region=eu"]
)
def test_credentials_do_not_belong_into_a_uri(uri):
    with pytest.raises(InputError, match="expected no password or key") as caught:
        as_location(uri)
    assert "hush" not in str(caught.value)


def test_locations():
    assert as_location("file:///data/my%20set") == Path("/data/my set")
    assert as_location("data/set") == Path("data/set")
    assert inside("s3://b/run?region=eu", "train") == "s3://b/run/train?region=eu"
    with pytest.raises(InputError, match="nonsense://x"):
        Store("nonsense://x")
