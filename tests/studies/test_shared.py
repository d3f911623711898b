"""Which runs studies share."""

from dataclasses import replace
from pathlib import Path

from autoreg.config import Config
from autoreg.reporting.watch import Watch
from autoreg.studies.shared import Bench
from autoreg.studies.task import whole_datasets


def test_a_run_in_another_precision_is_another_run(brief: Config, flat_phantoms: Path, tmp_path: Path):
    (task,) = whole_datasets(brief, [flat_phantoms])

    def folder(**settings: object) -> Path:
        config = replace(brief, workers=replace(brief.workers, **settings))  # type: ignore[arg-type]
        return Bench(task, config, tmp_path, Watch(), "")._folder("train", "conv3", {})

    assert folder(precision="bfloat16") != folder()
    assert folder(checkpointing=True) == folder()
