"""How fast the parts are, beside the plainest way to write them and beside peers, in one process.

    python benchmarks/speed.py                                        every case, 48 x 64 x 48 and 80 x 96 x 112
    python benchmarks/speed.py --only "training step" --sizes 160,192,224 --json speed.json
    python benchmarks/speed.py --history runs/speed.jsonl              compare with the last run there, and add this
    python benchmarks/speed.py --profile runs/profile                  where the time of a training step goes

The cases of speed_cases.py need torch and numpy alone, those of speed_system.py the whole of AutoReg; peers take part
where they are installed (pip install 'autoreg[bench]'). Contenders take turns; a ratio is the median over repetitions
of their time to ours. MiB: kept for the way back; on a GPU the peak.
"""

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from speed_cases import CASES, Pair, Work, training

SIZES = ("48,64,48", "80,96,112")
PACKAGES = ("autoreg", "torch", "numpy", "voxelmorph", "neurite", "monai", "ray", "mlflow")
SLOWER = 1.25
"""Times as long as in the last run: then a line says so."""


@dataclass(frozen=True)
class Row:
    """One contender of a case."""

    case: str
    size: str
    contender: str
    seconds: float
    ratio: float
    """To ours."""
    mib: float | None = None


def timed(works: dict[str, Work], repeat: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each, by repetition; they take turns, and the first turn warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repetition in range(repeat + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repetition:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def kept_mib(work: Work, device: torch.device) -> float:
    """Memory that autograd keeps for the way back; on a GPU the peak of the work."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        work()
    return sum(sizes.values()) / 2**20


def rows_of(case: str, size: str, works: dict[str, Work], repeat: int, device: torch.device) -> Iterator[Row]:
    """A row a contender, ours first."""
    seconds = timed(works, repeat, device)
    ours = next(iter(seconds.values()))
    for name, work in works.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[name], ours, strict=True))
        mib = kept_mib(work, device) if case in CASES else None
        yield Row(case, size, name, statistics.median(seconds[name]), ratio, mib or None)


def table(rows: Sequence[Row]) -> str:
    lines = ["| case | size | contender | seconds | to ours | MiB |", "|---|---|---|---|---|---|"]
    for row in rows:
        mib = "" if row.mib is None else f"{row.mib:.0f}"
        lines.append(f"| {row.case} | {row.size} | {row.contender} | {row.seconds:.4g} | {row.ratio:.2f} | {mib} |")
    return "\n".join(lines)


def circumstances(device: torch.device) -> dict[str, object]:
    """Machine, versions, threads, commit."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    here = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    kind = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": kind,
        "threads": torch.get_num_threads(),
        "commit": commit.stdout.strip() or None,
        "versions": found,
    }


def slower_than_last(history: Path, rows: Sequence[Row]) -> list[str]:
    """What takes clearly longer, beside the plain way or a peer, than in the last run of the file: machines differ."""
    if not history.exists():
        return []
    last = json.loads(history.read_text().splitlines()[-1])
    before = {(r["case"], r["size"], r["contender"]): r["ratio"] for r in last["rows"]}
    found = []
    for row in rows:
        then = before.get((row.case, row.size, row.contender))
        if then and row.ratio < then / SLOWER:
            found.append(f"{row.case}, {row.size}: {row.contender} took {then:.2f} times ours, now {row.ratio:.2f}")
    return found


def profile(folder: Path, size: tuple[int, ...], device: torch.device) -> str:
    """A trace of our training step for chrome://tracing in the folder, and the table of where its time goes."""
    _, work = next(training(Pair.make(size, device)))
    work()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as found:
        work()
    folder.mkdir(parents=True, exist_ok=True)
    found.export_chrome_trace(str(folder / "training_step.json"))
    told = found.key_averages().table(sort_by=f"self_{device.type}_time_total", row_limit=20, max_name_column_width=40)
    (folder / "training_step.txt").write_text(told)
    return told


def all_cases(names: Sequence[str]) -> list[str]:
    """Names that were asked for; all of both files when none was."""
    try:
        from speed_system import SYSTEM_CASES
    except ImportError:  # a machine with torch and numpy alone
        SYSTEM_CASES = {}
    known = [*CASES, *SYSTEM_CASES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"--only: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    return list(names) or known


def measured(name: str, sizes: Sequence[str], repeat: int, device: torch.device, dataset: Path | None) -> Iterator[Row]:
    if name in CASES:
        for size in sizes:
            pair = Pair.make(tuple(map(int, size.split(","))), device)
            yield from rows_of(name, size, dict(CASES[name](pair)), repeat, device)
        return
    from speed_system import SYSTEM_CASES

    with SYSTEM_CASES[name](dataset) as (size, works):
        yield from rows_of(name, size, works, repeat, device)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), metavar="D,H,W")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dataset", type=Path, help="Volumes for what opens some, instead of phantoms.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--history", type=Path, help="A file of earlier runs; ratios that fell are told.")
    parser.add_argument("--profile", type=Path, metavar="FOLDER")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    if given.profile:
        print(profile(given.profile, tuple(map(int, given.sizes[0].split(","))), device))
        return
    rows: list[Row] = []
    for name in all_cases(given.only):
        for row in measured(name, given.sizes, given.repeat, device, given.dataset):
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
    record = circumstances(device) | {"rows": [asdict(row) for row in rows]}
    print(f"\n{json.dumps({k: v for k, v in record.items() if k != 'rows'})}\n\n{table(rows)}")
    if given.json:
        given.json.write_text(json.dumps(record, indent=1))
    if given.history:
        print("\n".join(slower_than_last(given.history, rows)) or "no ratio fell since the last run there")
        given.history.parent.mkdir(parents=True, exist_ok=True)
        with given.history.open("a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
