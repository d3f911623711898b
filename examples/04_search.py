"""Search architecture and loss weights, train what was found, and look at both.

python examples/04_search.py runs/examples
"""

import sys
from pathlib import Path

import autoreg as ar

OVERRIDES = ["workers.local=true", "workers.count=1"]


def main(
    folder: Path, config_file: Path = Path("launchers/configs/smoke.yaml"), overrides: list[str] = OVERRIDES
) -> None:
    path = ar.make_phantoms(folder / "phantoms", subjects=8, shape=(24, 24, 24), seed=0)
    config = ar.load_config(config_file, [*overrides, f"tracking.home={folder / 'mlflow'}"])
    found = ar.search(config, dataset=path, output=folder / "search", quiet=False)
    print(found)
    print("primitives:", found.genotype)
    print("loss weights:", found.loss_weights)
    print(found.history[["round", "soft_dice"]].dropna().tail(3))

    trained = ar.train(found, dataset=path, output=folder / "train", quiet=False)
    scored = ar.evaluate(trained, dataset=path)
    print(scored.pairs.groupby("label")["dice"].mean())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples/search"))
