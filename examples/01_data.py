"""Make a data set from a folder of files: generated volumes stand for yours.

python examples/01_data.py runs/examples
"""

import sys
from pathlib import Path

import autoreg as ar
from autoreg.intake.start import init_dataset


def main(folder: Path) -> None:
    dataset = ar.load_dataset(ar.make_phantoms(folder / "phantoms", subjects=8, shape=(24, 24, 24), seed=0))
    print(f"{dataset.name}: {len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test subjects")
    fixed, moving = dataset.pairs("test")[0]
    print(f"first test pair: {fixed} (fixed), {moving} (moving)")

    # the same files as they would come to you: without a dataset.json
    (folder / "phantoms" / "dataset.json").rename(folder / "dataset_of_the_phantoms.json")
    for name, value in init_dataset(folder / "phantoms", seed=1).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples/data"))
