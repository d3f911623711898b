"""The books of device-seconds: what the work cost, and what faults added to it."""

import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from autoreg.files import storing, whole_file

_COLUMNS = ["phase", "device", "device_seconds", "wasted_seconds", "key"]


class Ledger:
    """Append-only costs of one run, safe against a kill at any instant.

    Each event is one line, on disk before `add` returns. Work that is booked again under the same phase and key
    was redone after a fault: the newest booking is the work, the earlier ones become wasted. What is under way
    (`begin`, `heartbeat`) stands in a small file next to the ledger; opening the ledger after a kill books it
    as wasted. One process at a time may hold a `Ledger`; to look into a live one, use `read_costs`.

    Example:
        >>> ledger = Ledger(folder / "cost.jsonl")
        >>> ledger.begin("search", "round 12", 4)
        >>> ledger.add("search", "cpu", 20.0, key="round 12")
        >>> ledger.totals()
        {'search': {'device_seconds': 20.0, 'wasted_seconds': 0.0}}
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._open_path = self._path.with_suffix(".open.json")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._end_torn_line()
        self._waste_open_work()

    def add(
        self, phase: str, device: str, device_seconds: float, *, wasted_seconds: float = 0.0, key: str = ""
    ) -> None:
        """Book finished work, and end what `begin` opened under the same phase and key.

        Args:
            phase: "search", "train", "trials", ...
            device: kind of device, such as "cpu" or "cuda".
            device_seconds: seconds times devices that gave the result.
            wasted_seconds: seconds times devices that were lost on the way; not part of `device_seconds`.
            key: names the piece of work ("round 12"); without one, bookings are never taken for each other.
        """
        for name, value in (("device_seconds", device_seconds), ("wasted_seconds", wasted_seconds)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: expected a finite number of at least 0, got {value}")
        open_work = self._read_open()
        matches = (open_work.get("phase"), open_work.get("key")) == (phase, key)
        row = dict(zip(_COLUMNS, (phase, device, float(device_seconds), float(wasted_seconds), key), strict=True))
        self._append(row | ({"opened": open_work["opened"]} if matches else {}))
        if matches:
            self._open_path.unlink(missing_ok=True)

    def begin(self, phase: str, key: str, devices: int, *, device: str = "cpu") -> None:
        """Note that `devices` devices start on a piece of work; work still open in this process is booked as wasted."""
        self.lose()
        now = time.time()
        work = {"phase": phase, "device": device, "key": key, "devices": devices, "began": now, "beat": now}
        self._write_open(work | {"opened": uuid.uuid4().hex})

    def lose(self) -> None:
        """Book what is under way as wasted, up to now."""
        self.heartbeat()
        self._waste_open_work()

    @contextmanager
    def work(self, phase: str, key: str, devices: int, *, device: str) -> Iterator[None]:
        """Book what happens inside as one piece of work; work that fails is booked as wasted by the next `begin`."""
        self.begin(phase, key, devices, device=device)
        start = time.perf_counter()
        yield
        self.add(phase, device, (time.perf_counter() - start) * devices, key=key)

    def heartbeat(self) -> None:
        """Note that the open work is still going on; after a kill, time up to here counts."""
        if work := self._read_open():
            self._write_open(work | {"beat": time.time()})

    def take_over(self, path: Path, phase: str, *, key: str) -> float:
        """Book all that another run's ledger holds as one piece of work, once; returns its device-seconds."""
        costs = read_costs(path)
        useful, wasted = (float(costs[name].sum()) for name in ("device_seconds", "wasted_seconds"))
        booked = self.to_frame()
        if not ((booked["phase"] == phase) & (booked["key"] == key)).any():
            device = str(costs["device"].iloc[-1]) if len(costs) else "cpu"
            self.add(phase, device, useful, wasted_seconds=wasted, key=key)
        return useful + wasted

    def totals(self) -> dict[str, dict[str, float]]:
        """Useful and wasted device-seconds of each phase, in order of first appearance."""
        columns = ["device_seconds", "wasted_seconds"]
        sums = self.to_frame().groupby("phase", sort=False)[columns].sum()
        return {phase: {name: float(sums.loc[phase, name]) for name in columns} for phase in sums.index}

    def total_device_seconds(self) -> float:
        """Everything that was paid: useful plus wasted."""
        return float(self.to_frame()[["device_seconds", "wasted_seconds"]].to_numpy().sum())

    def to_frame(self) -> pd.DataFrame:
        """A row a booking: phase, device, device_seconds, wasted_seconds, key."""
        return read_costs(self._path)

    def write_parquet(self, path: Path) -> None:
        """Write `to_frame()`, whole or not at all."""
        with whole_file(Path(path)) as file:
            self.to_frame().to_parquet(file, index=False)

    def _append(self, row: Mapping[str, object]) -> None:
        with storing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _end_torn_line(self) -> None:
        """A write that a kill cut short must not garble the next line."""
        with self._path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")

    def _waste_open_work(self) -> None:
        work = self._read_open()
        if not work:
            return
        # The kill may have come between the booking and the removal of the open file.
        if work["opened"] not in {row.get("opened") for row in _rows(self._path)}:
            lost = max(work["beat"] - work["began"], 0.0) * work["devices"]
            names = ("phase", "device", "key", "opened")
            self._append({name: work[name] for name in names} | {"device_seconds": 0.0, "wasted_seconds": lost})
        self._open_path.unlink(missing_ok=True)

    def _read_open(self) -> dict:
        return open_work(self._path)

    def _write_open(self, work: dict) -> None:
        temporary = self._open_path.with_suffix(".tmp")
        with storing(self._open_path):
            temporary.write_text(json.dumps(work), encoding="utf-8")
            temporary.replace(self._open_path)


def read_costs(path: Path) -> pd.DataFrame:
    """Bookings of the ledger at `path`, which may be live; redone work is moved to wasted_seconds."""
    frame = pd.DataFrame(_rows(Path(path)), columns=_COLUMNS).astype({"device_seconds": float, "wasted_seconds": float})
    worked = frame[(frame["key"] != "") & (frame["device_seconds"] > 0)]
    redone = worked.index[worked.duplicated(["phase", "key"], keep="last")]
    frame.loc[redone, "wasted_seconds"] += frame.loc[redone, "device_seconds"]
    frame.loc[redone, "device_seconds"] = 0.0
    return frame


def open_work(path: Path) -> dict:
    """What the ledger at `path` says is under way: phase, device, key, devices, began, beat; empty if nothing is."""
    try:
        return json.loads(Path(path).with_suffix(".open.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):  # empty after a power failure
        return {}


def _rows(path: Path) -> list[dict]:
    """Lines of the ledger, without the pieces that a kill left of a line."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
