"""A real cut of a real link: two Ray nodes in two network namespaces, joined by a pair of virtual cables."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from autoreg import experiment
from autoreg.config import load_config, shipped
from autoreg.tables import load_table

CONFIG = shipped("launchers") / "configs" / "smoke.yaml"
SETTINGS = ["search.rounds=60", "search.finalists=1", "workers.min=1", "workers.max=2"]
HEAD, OTHER = "10.213.77.1", "10.213.77.2"
PORT = 6399
CABLE = "cable"
TIMES = ["seconds", "device_seconds", "sum_seconds", "workers"]


def namespaces_work() -> str:
    """Why they cannot be made here, or nothing."""
    name = f"autoreg-{uuid.uuid4().hex[:6]}"
    try:
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


@dataclass
class Net:
    """Two namespaces with one cable between them, and what runs in them."""

    folder: Path
    names: tuple[str, str]
    sockets: str
    """Folder with a short name: that of a socket may have 107 bytes."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, side: int, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        known |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "GLOO_SOCKET_IFNAME": CABLE}
        with (self.folder / f"process-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.names[side], *command],
                env=known | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def node(self, side: int) -> subprocess.Popen[bytes]:
        """A Ray node with one CPU; the first is the head."""
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
        if side == 0:
            ray += ["--head", f"--port={PORT}", f"--node-ip-address={HEAD}", "--include-dashboard=false"]
            ray += [f"--temp-dir={self.sockets}"]
        else:
            ray += [f"--address={HEAD}:{PORT}", f"--node-ip-address={OTHER}"]
        quick = {"initial_delay_ms": "0", "period_ms": "1000", "timeout_ms": "2000", "failure_threshold": "3"}
        checks = {f"RAY_health_check_{name}": value for name, value in quick.items()}
        return self.start(side, *ray, "--object-store-memory=100000000", **checks)

    def cable(self, state: str) -> None:
        """up or down"""
        ip("-n", self.names[0], "link", "set", CABLE, state)
        if state == "up":
            ip("-n", self.names[0], "route", "replace", "default", "via", OTHER)

    def close(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for name in self.names:
            left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for pid in left.stdout.split():  # of these two namespaces alone
                os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(self.sockets, ignore_errors=True)


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    reason = namespaces_work()
    if reason:
        pytest.skip(f"no network namespaces here: {reason}")
    mark = uuid.uuid4().hex[:6]
    net = Net(tmp_path, (f"autoreg-a-{mark}", f"autoreg-b-{mark}"), tempfile.mkdtemp(prefix="ray-"))
    try:
        for name in net.names:
            ip("netns", "add", name)
        ip("-n", net.names[0], "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", net.names[1])
        for name, own, other in zip(net.names, (HEAD, OTHER), (OTHER, HEAD), strict=True):
            ip("-n", name, "address", "add", f"{own}/24", "dev", CABLE)
            for device in ("lo", CABLE):
                ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "route", "add", "default", "via", other)  # Ray asks the route for its own address
        yield net
    finally:
        net.close()


def await_(what: str, check: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert process.poll() is None, f"ended before {what}"
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.1)


def rounds(folder: Path) -> pd.DataFrame:
    path = folder / "history.parquet"
    return load_table(path) if path.exists() else pd.DataFrame({"workers": []})


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_goes_on_through_a_cut(net, flat_phantoms, tmp_path):
    home = f"tracking.home={tmp_path / 'home'}"
    head = net.node(0)
    await_("the head", lambda: "ready" in log(net, 0) or "started" in log(net, 0), head)
    node = net.node(1)
    await_("the other node", lambda: "started" in log(net, 1), node)
    folder = tmp_path / "cut"
    command = [sys.executable, "-m", "autoreg", "search", str(CONFIG), "--dataset", str(flat_phantoms), "--quiet"]
    for setting in [*SETTINGS, home, "workers.heartbeat_seconds=10"]:
        command += ["--set", setting]
    search = net.start(0, *command, "--output", str(folder), "--address", f"{HEAD}:{PORT}")
    await_("two workers", lambda: len(rounds(folder)) >= 3 and rounds(folder)["workers"].iloc[-1] == 2, search)
    net.cable("down")
    await_("rounds of the worker that is left", lambda: rounds(folder)["workers"].iloc[-1] == 1, search)
    os.killpg(node.pid, signal.SIGKILL)
    net.cable("up")
    net.node(1)  # taken in if it is there before the search ends; the result is the same either way
    assert search.wait(timeout=400) == 0, log(net, 2)

    calm_config = load_config(CONFIG, [*SETTINGS, "workers.local=true", home])
    calm = experiment.search(calm_config, dataset=flat_phantoms, output=tmp_path / "calm")
    found = rounds(folder)
    workers = found["workers"].tolist()
    assert 1 in workers[workers.index(2) :]
    pd.testing.assert_frame_equal(found.drop(columns=TIMES), rounds(calm).drop(columns=TIMES), check_exact=True)
    for name in ("genotype.yaml", "loss_weights.yaml"):
        assert (folder / name).read_bytes() == (calm / name).read_bytes()
    assert json.loads((folder / "result.json").read_text())["wasted_seconds"]["search"] > 0


def log(net: Net, process: int) -> str:
    return (net.folder / f"process-{process}.log").read_text(errors="replace")
