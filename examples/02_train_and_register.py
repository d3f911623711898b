"""Train a network of convolutions on slices for a minute, score it, and register two arrays with it.

python examples/02_train_and_register.py runs/examples
"""

import sys
from pathlib import Path

import numpy as np

import autoreg as ar

OVERRIDES = [
    "space=compact",
    "train.steps=120",
    "train.steps_per_round=40",
    "train.learning_rate=0.002",
    "workers.local=true",
]


def main(folder: Path, overrides: list[str] = OVERRIDES) -> None:
    path = ar.make_phantoms(folder / "phantoms", subjects=12, shape=(64, 64), seed=0)
    config = ar.load_config(overrides=[*overrides, f"tracking.home={folder / 'mlflow'}"])
    trained = ar.train("all-conv3", config, dataset=path, output=folder / "train")
    print(trained)
    scored = ar.evaluate(trained, dataset=path)
    print(f"test Dice {scored.metrics['initial_dice']:.3f} before, {scored.metrics['test_dice']:.3f} after")

    fixed, moving = two_images(path)
    pair = ar.register(trained, fixed, moving)
    before, after = (np.abs(image - fixed).mean() for image in (moving, pair.warped))
    print(f"mean difference {before:.1f} before, {after:.1f} after; folds {pair.folds_percent:.3f} percent")


def two_images(path: Path) -> list[np.ndarray]:
    """The first test pair as arrays; yours may come from anywhere."""
    import nibabel

    dataset = ar.load_dataset(path)
    return [nibabel.load(dataset.entries[key].image_path).get_fdata() for key in dataset.pairs("test")[0]]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples/train"))
