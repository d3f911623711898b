"""Faults on purpose: searches and tuning on a cluster of several nodes, disturbed by a seeded schedule.

    python benchmarks/chaos.py --faults 100 --output runs/chaos

Every run must end with what the same run gives undisturbed (alpha, loss weights and weights bit for bit), with every
round once in the ledger and once in MLflow. Writes table.md, faults.json; exit code 1 when something differs.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ["RAY_AUTH_MODE"] = "disabled"  # one machine, loopback
os.environ |= {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    "OMP_NUM_THREADS": "1",
}

import pandas as pd
import psutil
import yaml
from chaos_store import Store
from ray.cluster_utils import Cluster

from autoreg.data.synthetic import make_phantoms
from autoreg.search.checkpoint import load_checkpoint
from autoreg.tables import load_table
from autoreg.tracking.ledger import read_costs

HERE = Path(__file__).parent
ROUNDS, TRIAL_STEPS, RATE = 40, 30, 0.002
RECOVERY_SECONDS = 240
TIMES = ["seconds", "device_seconds", "sum_seconds", "workers"]
SEARCH = {
    "space": "tiny",
    "search": {
        "rounds": ROUNDS,
        "warmup_rounds": 10,
        "steps_per_round": 2,
        "batch_size": 2,
        "learning_rate": RATE,
        "finalists": 1,
    },
    "train": {"steps": TRIAL_STEPS, "steps_per_round": 2, "warmup_steps": 5, "evaluate_every": 5, "selection_pairs": 2},
    "tune": {"trials": 3},
    "workers": {"min": 1, "max": 2, "heartbeat_seconds": 5, "patience": 10},
}


@dataclass
class Fault:
    """What was done, and how it was answered."""

    run: str
    kind: str
    seconds: float | None = None
    """Until the next round was on disk."""


@dataclass
class Bench:
    """The cluster, the store and the data set that all runs share."""

    home: Path
    cluster: Any
    store: Store
    dataset: Path
    nodes: list[Any] = field(default_factory=list)
    cut: list[list[psutil.Process]] = field(default_factory=list)
    """Processes of nodes that were cut off."""

    @property
    def address(self) -> str:
        return self.cluster.address

    def add_node(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20))

    def workers(self) -> list[psutil.Process]:
        """Of this cluster, wherever they are; those of nodes that were cut off are gone for everybody."""
        gone = {process.pid for family in self.cut for process in family}
        family = [process for process in psutil.Process().children(recursive=True) if process.pid not in gone]
        return [p for p in family if _title(p).startswith(("ray::_Actor", "ray::ImplicitFunc"))]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Command:
    """An `autoreg` command in a process of its own, which may be killed and continued."""

    def __init__(self, bench: Bench, name: str, verb: str, inside: dict[str, Any]) -> None:
        self.bench, self.name, self.verb = bench, name, verb
        self.folder = bench.home / name
        plan = bench.home / f"{name}.plan"
        plan.mkdir(parents=True)
        (plan / "inside.json").write_text(json.dumps(inside | {"learning_rate": RATE}))
        self.extension = shutil.copy(HERE / "chaos_inside.py", plan)
        self.config = plan / "config.yaml"
        self.config.write_text(yaml.safe_dump(SEARCH | {"tracking": {"uri": bench.store.uri, "home": str(bench.home)}}))
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "autoreg", "--extension", self.extension, self.verb, str(self.config)]
        command += ["--dataset", str(self.bench.dataset), "--output", str(self.folder), "--quiet"]
        command += ["--address", self.bench.address, *(["--resume"] if (self.folder / "result.json").exists() else [])]
        self.starts += 1
        self.log = self.bench.home / f"{self.name}.{self.starts}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def ended(self) -> bool:
        assert self.process
        return self.process.poll() is not None

    def finished(self) -> bool:
        path = self.folder / "result.json"
        return self.ended() and path.exists() and json.loads(path.read_text())["status"] == "finished"

    def saved(self) -> list[Path]:
        """Checkpoints, newest last; of a study, all trials'."""
        return sorted(self.folder.rglob("checkpoints/round_*.pt"), key=lambda path: (path.parent, path.name))

    def progress(self) -> tuple[int, str]:
        """Grows with every round that is on disk."""
        found = self.saved()
        return (len({path.parent for path in found}), found[-1].name) if found else (0, "")

    def await_round(self, seconds: float, before: tuple[int, str] | None = None) -> bool:
        """Whether a round beyond this one is on disk, or the command ended well, in time."""
        before = self.progress() if before is None else before
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.finished():
            if self.progress() > before:
                return True
            time.sleep(0.05)
        return self.finished()


Disturbance = Callable[[Bench, Command, random.Random], None]


def kill_worker(bench: Bench, command: Command, rng: random.Random) -> None:
    if found := bench.workers():
        rng.choice(found).kill()


def hang_worker(bench: Bench, command: Command, rng: random.Random) -> None:
    if found := bench.workers():
        rng.choice(found).suspend()


def slow_worker(bench: Bench, command: Command, rng: random.Random) -> None:
    if found := bench.workers():
        chosen = rng.choice(found)
        chosen.suspend()
        time.sleep(1.5)
        chosen.resume()


def lose_node(bench: Bench, command: Command, rng: random.Random) -> None:
    node = bench.nodes.pop(rng.randrange(len(bench.nodes)))
    bench.cluster.remove_node(node, allow_graceful=False)
    bench.add_node()


def cut_node(bench: Bench, command: Command, rng: random.Random) -> None:
    """Nothing comes from a node or goes to it any more: all its processes stand still, and it never comes back."""
    node = bench.nodes.pop(rng.randrange(len(bench.nodes)))
    raylet = next(info.process for name, infos in node.all_processes.items() if name == "raylet" for info in infos)
    family = [psutil.Process(raylet.pid), *psutil.Process(raylet.pid).children(recursive=True)]
    for process in family:
        process.suspend()
    bench.add_node()
    bench.cut.append(family)


def kill_driver(bench: Bench, command: Command, rng: random.Random) -> None:
    command.kill()
    command.start()


def damage(newest: Callable[[bytes, random.Random], bytes]) -> Disturbance:
    def disturb(bench: Bench, command: Command, rng: random.Random) -> None:
        command.kill()
        if found := command.saved():
            found[-1].write_bytes(newest(found[-1].read_bytes(), rng))
        command.start()

    return disturb


def truncated(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


def fill_disk(bench: Bench, command: Command, rng: random.Random) -> None:
    """No file of the driver may grow any more: the next checkpoint fails. Then there is room again."""
    assert command.process
    size = max(path.stat().st_size for path in command.saved()) // 2
    psutil.Process(command.process.pid).rlimit(psutil.RLIMIT_FSIZE, (size, size))
    command.process.wait(timeout=RECOVERY_SECONDS)
    if command.process.returncode != 1 or "cannot be written" not in command.log.read_text():
        raise AssertionError(f"{command.name}: a full disk ended in {command.process.returncode}, see its log")
    command.start()


def store_away(bench: Bench, command: Command, rng: random.Random) -> None:
    with bench.store.away():
        time.sleep(3)


def store_answers_lost(bench: Bench, command: Command, rng: random.Random) -> None:
    with bench.store.deaf():
        time.sleep(3)


FAULTS: dict[str, tuple[int, Disturbance]] = {
    "worker killed": (6, kill_worker),
    "worker hung": (3, hang_worker),
    "worker slow": (2, slow_worker),
    "node lost": (2, lose_node),
    "node cut off": (1, cut_node),
    "driver killed": (3, kill_driver),
    "checkpoint truncated": (1, damage(truncated)),
    "checkpoint bit flipped": (1, damage(flipped)),
    "disk full": (1, fill_disk),
    "store away": (2, store_away),
    "store's answers lost": (1, store_answers_lost),
}
"""Kind -> how often it is drawn, and what is done."""
INSIDE = {"divergence": {"diverges": 17}, "memory exhausted": {"memory": 23}}
"""Faults that change the result, as an undisturbed run of their own."""
IN_STUDIES = ("worker killed", "driver killed", "node lost", "store away", "worker slow")


def disturb(bench: Bench, command: Command, kinds: list[str], rng: random.Random, faults: list[Fault]) -> None:
    """Run a command to its end, with these faults one after the other as far as it lasts."""
    command.start()
    while not command.finished():
        if command.ended():
            raise AssertionError(f"{command.name}: ended with {command.process and command.process.returncode}")
        if not kinds or not command.saved() or not command.await_round(30):
            time.sleep(0.5)
            continue
        time.sleep(rng.random() * 0.5)
        if command.ended():
            continue
        kind = kinds.pop()
        fault = Fault(command.name, kind)
        faults.append(fault)
        start, before = time.monotonic(), command.progress()
        FAULTS[kind][1](bench, command, rng)
        if not command.await_round(RECOVERY_SECONDS, before):
            raise AssertionError(f"{command.name}: no round within {RECOVERY_SECONDS} s after {kind}")
        fault.seconds = time.monotonic() - start
        print(f"{len(faults):4d} {command.name:24s} {kind:24s} {fault.seconds:6.1f} s", flush=True)


def differences(bench: Bench, command: Command, calm: Command) -> list[str]:
    """What a disturbed run has otherwise than the undisturbed one."""
    return [
        f"{command.name}: {text}"
        for text in (_study(command, calm) if command.verb == "tune" else _search(bench, command, calm))
    ]


def _search(bench: Bench, command: Command, calm: Command) -> Iterator[str]:
    for name in ("genotype.yaml", "loss_weights.yaml"):
        if (command.folder / name).read_bytes() != (calm.folder / name).read_bytes():
            yield f"{name} differs"
    if not _history(command).equals(_history(calm)):
        yield "history (alpha, loss weights, objectives) differs"
    states = [load_checkpoint(c.folder / "checkpoints") or {} for c in (command, calm)]
    weights = [state["place"]["workers"]["weights"] for state in states]
    if any((weights[0][name] != value).any() for name, value in weights[1].items()):
        yield "weights differ"
    yield from _books(command)
    yield from _tracked(bench, command)


def _history(command: Command) -> pd.DataFrame:
    return load_table(command.folder / "history.parquet").drop(columns=TIMES)


def _books(command: Command) -> Iterator[str]:
    """Every round is booked once as useful, for at least the time that the round itself measured."""
    costs = read_costs(command.folder / "cost.jsonl")
    rounds = costs[costs["key"].str.startswith("round ") & (costs["device_seconds"] > 0)]
    if sorted(rounds["key"]) != sorted(f"round {n}" for n in range(ROUNDS)):
        yield f"ledger: {len(rounds)} rounds booked as useful, not {ROUNDS}"
    measured = load_table(command.folder / "history.parquet")["device_seconds"].sum()
    if not measured <= rounds["device_seconds"].sum() <= measured * 1.05 + 1:
        yield f"ledger: {rounds['device_seconds'].sum():.2f} device-seconds of rounds, measured {measured:.2f}"
    result = json.loads((command.folder / "result.json").read_text())
    if costs[["device_seconds", "wasted_seconds"]].sum().sum() > result["wall_seconds"] * 2 + 60:
        yield "ledger: more than all workers could work in the time"


def _tracked(bench: Bench, command: Command) -> Iterator[str]:
    run_id = json.loads((command.folder / "result.json").read_text())["mlflow_run_id"]
    client = bench.store.client()
    for name in ("objective/train", "lambda/smoothness"):
        steps = sorted(point.step for point in client.get_metric_history(run_id, name))
        if steps != list(range(ROUNDS)):
            yield f"MLflow: {name} has steps {steps}"
    if client.get_run(run_id).info.status != "FINISHED":
        yield "MLflow: run not finished"


def _study(command: Command, calm: Command) -> Iterator[str]:
    found = [load_table(c.folder / "trials.parquet").drop(columns=["device_seconds"]) for c in (command, calm)]
    found = [frame.drop(columns=["mlflow_run_id"]) for frame in found]
    if not found[0].equals(found[1]):
        yield f"trials differ:\n{found[0]}\n{found[1]}"
    costs = read_costs(command.folder / "cost.jsonl")
    if sorted(costs["key"]) != sorted(f"trial {n}" for n in range(len(found[1]))):
        yield f"ledger: {costs['key'].tolist()}"


@contextmanager
def open_bench(home: Path) -> Iterator[Bench]:
    home.mkdir(parents=True)
    os.environ["AUTOREG_CACHE"] = str(home / "cache")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    dataset = make_phantoms(home / "data", subjects=8, shape=(24, 24), seed=0)
    head = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False, "resources": {"head": 1}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    store = Store(home / "store")
    bench = Bench(home, cluster, store, dataset)
    try:
        for _ in range(2):
            bench.add_node()
        yield bench
    finally:
        for process in (process for family in bench.cut for process in family):
            if process.is_running():
                process.kill()
        store.close()
        cluster.shutdown()


def deck(weights: dict[str, int], rng: random.Random) -> list[str]:
    """Every kind as often as it weighs, shuffled."""
    found = [kind for kind, weight in weights.items() for _ in range(weight)]
    rng.shuffle(found)
    return found


def undisturbed(bench: Bench, name: str, verb: str, inside: dict[str, Any]) -> Command:
    """A run without faults from outside."""
    command = Command(bench, f"calm-{name}", verb, inside)
    disturb(bench, command, [], random.Random(0), [])
    return command


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "search": ("search", {}),
    "diverging": ("search", INSIDE["divergence"]),
    "memory": ("search", INSIDE["memory exhausted"]),
    "study": ("tune", {}),
}
MOST = 12
"""Faults of one search."""
NOISE = {"noise": True, "pause": 0.25}


def run(bench: Bench, wanted: int, seed: int, variants: list[str]) -> tuple[list[Fault], list[str]]:
    """Disturbed runs, one variant after the other, until there were so many faults; and what went wrong."""
    rng = random.Random(seed)
    calm: dict[str, Command] = {}
    faults: list[Fault] = []
    wrong: list[str] = []
    weights = {kind: weight for kind, (weight, _) in FAULTS.items()}
    left = deck(weights, rng)
    number = 0
    while len(faults) < wanted:
        variant = variants[number % len(variants)]
        verb, inside = VARIANTS[variant]
        if variant not in calm:
            calm[variant] = undisturbed(bench, variant, verb, inside)
        number += 1
        command = Command(bench, f"{number:02d}-{variant}", verb, inside | (NOISE if verb == "search" else {}))
        if verb == "search":
            faults += [Fault(command.name, "reports twice and late", 0.0)]
            faults += [Fault(command.name, name, 0.0) for name, plan in INSIDE.items() if plan == inside]
            left = left if len(left) >= MOST else deck(weights, rng) + left
            drawn = [left.pop() for _ in range(max(0, min(MOST, wanted - len(faults))))]
            disturb(bench, command, drawn, rng, faults)
            left += drawn
        else:
            disturb(bench, command, deck(dict.fromkeys(IN_STUDIES, 1), rng), rng, faults)
        found = differences(bench, command, calm[variant])
        print("\n".join(found) or f"     {command.name:24s} ended as undisturbed", flush=True)
        wrong += found
    return faults, wrong


def table(faults: list[Fault]) -> str:
    """A row a kind."""
    lines = ["| fault | count | survived | seconds to the next round: median | longest |", "|---|---|---|---|---|"]
    for kind in dict.fromkeys(fault.kind for fault in faults):
        times = [fault.seconds for fault in faults if fault.kind == kind]
        known = [seconds for seconds in times if seconds is not None]
        spread = f"{statistics.median(known):.1f} | {max(known):.1f}" if any(known) else "- | -"
        lines.append(f"| {kind} | {len(times)} | {len(known)} | {spread} |")
    survived = sum(fault.seconds is not None for fault in faults)
    return "\n".join([*lines, f"| all | {len(faults)} | {survived} | | |"]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=Path("runs/chaos"))
    given = parser.parse_args()
    if given.output.exists():
        parser.error(f"--output {given.output}: expected a new folder, got one that exists")
    start = time.monotonic()
    with open_bench(given.output.resolve()) as bench:
        faults, wrong = run(bench, given.faults, given.seed, given.variants)
    (given.output / "faults.json").write_text(json.dumps([asdict(fault) for fault in faults], indent=1))
    (given.output / "table.md").write_text(table(faults))
    print(table(faults))
    print("\n".join(wrong) or "every run ended as undisturbed; ledger and MLflow have every round once")
    print(f"{len(faults)} faults in {time.monotonic() - start:.0f} s, seed {given.seed}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
