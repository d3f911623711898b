"""What a tracking store has not taken yet, in memory and, when the store is away, in a file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from autoreg.files import whole_file


class Point(NamedTuple):
    """One value of a metric; `time_ms` since 1970."""

    name: str
    value: float
    time_ms: int
    step: int


@dataclass
class Outbox:
    """Waiting metrics, parameters, tags and (path, folder) of files."""

    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.points or self.params or self.tags or self.artifacts)

    def spill(self, path: Path) -> None:
        """Write everything to `path` (JSON lines), whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, object]] = [{"point": point} for point in self.points]
        rows += [{name: value} for name, value in asdict(self).items() if name != "points" and value]
        with whole_file(path) as file:
            file.writelines(json.dumps(row).encode() + b"\n" for row in rows)

    def reload(self, path: Path) -> None:
        """Take back what an earlier process spilled to `path`, if anything."""
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            row = json.loads(line)
            self.points += [Point(*row["point"])] if "point" in row else []
            self.params |= row.get("params", {})
            self.tags |= row.get("tags", {})
            self.artifacts += [(file, folder) for file, folder in row.get("artifacts", [])]
