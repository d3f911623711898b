"""Two trained networks against each other, on the same test pairs.

python examples/05_compare.py runs/examples
"""

import sys
from pathlib import Path

import autoreg as ar

OVERRIDES = ["space=tiny", "train.steps=40", "train.steps_per_round=20", "workers.local=true"]


def main(folder: Path, overrides: list[str] = OVERRIDES) -> None:
    path = ar.make_phantoms(folder / "phantoms", subjects=8, shape=(24, 24, 24), seed=0)
    config = ar.load_config(overrides=[*overrides, f"tracking.home={folder / 'mlflow'}"])
    runs = [ar.train(name, config, dataset=path, output=folder / name) for name in ("all-conv3", "all-conv1")]
    for run in runs:
        ar.evaluate(run, dataset=path)
    comparison = ar.compare(runs, output=folder / "compare")
    print(comparison.text())
    print("page:", folder / "compare" / "compare.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples/compare"))
