"""A classical peer on the pairs of a split: the evaluation of a model, without one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from autoreg.classical import Register, open_peer
from autoreg.config import Config, write_yaml
from autoreg.data.landmarks import pair_landmarks
from autoreg.errors import AutoRegError, InputError
from autoreg.evaluation.pairs import Pair, score_pairs, summary
from autoreg.files import whole_file
from autoreg.records import record_evaluation, run_plan
from autoreg.reporting.watch import Watch
from autoreg.search.run import Run, open_run, read_result
from autoreg.setting import Setting, open_setting
from autoreg.shapes import Displacement
from autoreg.storage import Location
from autoreg.tables import load_table

PHASE = "register"
"""What the books call a peer's time."""


def classical(
    config: Config,
    peer: str,
    *,
    dataset: Location | None,
    output: Path,
    split: str = "test",
    most_pairs: int | None = None,
    resume: bool = False,
    watch: Watch | None = None,
) -> Path:
    """Register and score the pairs of a split with a classical peer; the folder compares like that of a model.

    Peers run on the CPU with `workers.threads` threads. A pair is kept as soon as it is scored.

    Args:
        peer: a name in `autoreg.classical.PEERS`.
        most_pairs: only the first pairs of the split.
        resume: keep the scored pairs of an earlier run in the same folder.

    Raises:
        InputError: the peer is not installed, there are no pairs, or the folder holds another run.
        AutoRegError: the peer failed on a pair; names it.
    """
    register, setting, pairs = _open(config, peer, dataset, split, most_pairs)
    plan = run_plan(f"classical {peer}", config, setting, output)
    scores = output / split / "pairs.parquet"
    kept = _kept(scores, plan.command, plan.dataset_hash) if resume else {}
    with open_run(plan, resume=resume) as run:
        write_yaml(output / "config.yaml", plan.config)
        progress = (watch or Watch()).counter(f"classical {peer}")
        frame = _score(run, _on_volumes(register, setting, peer), setting, pairs, kept, scores, progress)
        metrics = summary(frame)
        run.finish(metrics=metrics, peer=peer, split=split)
    record_evaluation(output, output / split, setting, split, metrics)
    return output


def describe_classical(
    config: Config,
    peer: str,
    *,
    dataset: Location | None,
    output: Location,
    split: str = "test",
    most_pairs: int | None = None,
) -> dict[str, Any]:
    """What `classical` would do, after checking that it can. Raises InputError."""
    _, setting, pairs = _open(config, peer, dataset, split, most_pairs)
    work = {"command": f"classical {peer}", "folder": output, "data set": setting.dataset.name}
    return work | {"pairs": f"{len(pairs)} of {split}", "threads": config.workers.threads}


def _open(
    config: Config, peer: str, dataset: Location | None, split: str, most: int | None
) -> tuple[Register, Setting, list[Pair]]:
    register = open_peer(peer, threads=config.workers.threads)
    setting = open_setting(config, dataset)
    pairs = setting.dataset.pairs(split)[:most]  # type: ignore[arg-type]
    if not pairs:
        raise InputError(f"{setting.dataset.path}: {split}: expected pairs or subjects in this split, got none")
    return register, setting, pairs


def _on_volumes(register: Register, setting: Setting, peer: str) -> Callable[[Pair], Displacement]:
    """The peer on a pair's images, voxel against voxel on the fixed one's grid, as models see them."""

    def on_pair(pair: Pair) -> Displacement:
        fixed, moving = (setting.volumes[key] for key in pair)
        try:
            found = register(np.array(fixed.image), np.array(moving.image), fixed.affine)
        except AutoRegError as error:
            raise type(error)(f"fixed {pair[0]}, moving {pair[1]}: {error}") from error
        except (RuntimeError, ValueError) as error:  # what the packages raise, each of its own
            raise AutoRegError(f"fixed {pair[0]}, moving {pair[1]}: {peer} failed: {error}") from error
        return torch.from_numpy(np.ascontiguousarray(found)).float()[None]

    return on_pair


def _score(
    run: Run,
    register: Callable[[Pair], Displacement],
    setting: Setting,
    pairs: Sequence[Pair],
    kept: dict[Pair, pd.DataFrame],
    scores: Path,
    progress: Callable[[int, int], None],
) -> pd.DataFrame:
    """The rows of all pairs; the file holds those that are done, after every pair."""
    scores.parent.mkdir(parents=True, exist_ok=True)
    ledger, threads = run.journal.ledger, run.plan.config["workers"]["threads"]
    points, labels = pair_landmarks(setting.dataset, pairs), tuple(setting.labels)
    frames: list[pd.DataFrame] = []
    for done, pair in enumerate(pairs):
        frame = kept.get(pair)
        if frame is None:
            key = " ".join(pair)
            ledger.begin(PHASE, key, threads)
            frame = score_pairs(register, setting.volumes, [pair], label_numbers=labels, points=points)
            ledger.add(PHASE, "cpu", float(frame["seconds"].iloc[0]) * threads, key=key)
        frames.append(frame)
        _write(pd.concat(frames, ignore_index=True), scores)
        of_pair = {name: float(frame[name].mean()) for name in ("dice", "hd95_mm", "folds_percent", "seconds")}
        run.tracker.metrics({f"pair/{name}": value for name, value in of_pair.items() if value == value}, step=done)
        progress(done + 1, len(pairs))
    return pd.concat(frames, ignore_index=True)


def _kept(scores: Path, command: str, dataset_hash: str) -> dict[Pair, pd.DataFrame]:
    """Rows by pair of an earlier run in the same folder. Raises InputError when that was of something else."""
    folder = scores.parents[1]
    if not (folder / "result.json").exists() or not scores.exists():
        return {}
    earlier = read_result(folder)
    for name, expected in (("command", command), ("dataset_hash", dataset_hash)):
        if earlier.get(name) != expected:
            raise InputError(f"{folder}: --resume: {name}: expected {expected}, got {earlier.get(name)}")
    rows = load_table(scores)
    return {(str(f), str(m)): frame for (f, m), frame in rows.groupby(["fixed", "moving"], sort=False)}  # type: ignore[misc]


def _write(frame: pd.DataFrame, path: Path) -> None:
    with whole_file(path) as file:
        frame.to_parquet(file, index=False)
