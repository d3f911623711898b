"""What each part of the search is worth: variants of the search, random search and Optuna, over several seeds.

    python benchmarks/ablations.py --dataset hippocampus/dataset.json --config launchers/configs/hippocampus.yaml \\
        --output runs/ablations --seeds 3 --train-steps 400

Every variant searches, and what it found (as alpha and lambda say, without a play-off, so that differences show) is
trained from scratch with the same budget and scored on the test pairs; there the loss weights rest, but for one
variant. `random` and `optuna` are studies of full trainings, as many as cost what search and training of `joint` cost.
It goes on where it stopped; the table is printed, and written as Markdown and CSV after every run.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from autoreg import experiment, tuning
from autoreg.choice import choose
from autoreg.config import Config, load_config
from autoreg.reporting.watch import Watch
from autoreg.search.run import read_result

ONE_STEP = "search.upper.loss_weights_estimator=through_output"
FULL = ("search.upper.paths=full", "search.relaxation=softmax", ONE_STEP)
SEARCHES: dict[str, tuple[str, ...]] = {
    "joint": (),
    "loss weights move on": ("search.moves_until=0.5",),
    "joint, both paths": FULL,
    "sequential": ("search.upper.paths=sequential",),
    "alpha only": ("search.upper.levels=alpha",),
    "lambda only": ("search.upper.levels=loss_weights",),
    "softmax": ("search.relaxation=softmax",),
    "partial-channel": ("search.relaxation=partial-channel",),
    "single-path": ("search.relaxation=single-path",),
    "not around the stated": ("search.stated=0",),
    "largest alpha": ("search.evidence=0",),
    "kernels merged": ("search.relaxation=softmax", "search.activation=after_sum"),
    "structure, too": ("space=topology",),
    "upper levels twice as often": (),
    "upper levels half as often": (),
    "alpha: direct part alone": ("search.upper.alpha_estimator=direct",),
    "alpha: second derivative": ("search.upper.alpha_estimator=second_derivative",),
    "alpha: 2 steps unrolled": ("search.upper.alpha_estimator=unrolled", "search.upper.horizon=2"),
    "lambda: dot product": ("search.upper.loss_weights_estimator=dot_product",),
    "lambda: plain dot product": ("search.upper.loss_weights_estimator=dot_product_plain",),
    "lambda: one step": (ONE_STEP,),
    "lambda: 4 steps unrolled": ("search.upper.loss_weights_estimator=unrolled", "search.upper.horizon=4"),
}
OFTEN = {"upper levels twice as often": 2.0, "upper levels half as often": 0.5}
STUDIES: dict[str, tuple[str, ...]] = {
    "random": ("tune.sampler=random", "tune.primitives=each"),
    "optuna": ("tune.primitives=each",),
}


@dataclass(frozen=True)
class Bench:
    """Where, on what, and for how long."""

    config: Path
    dataset: Path
    output: Path
    train_steps: int
    overrides: tuple[str, ...]

    def configured(self, seed: int, changes: Sequence[str]) -> Config:
        steps = (f"train.steps={self.train_steps}", f"seed={seed}", "search.finalists=1", "search.moves_until=0")
        return load_config(self.config, [*steps, *self.overrides, *changes])

    def folder(self, variant: str, seed: int) -> Path:
        return self.output / variant.replace(" ", "-").replace(",", "").replace(":", "") / f"seed-{seed}"


def as_often(config: Config, times: float) -> Config:
    """The same steps of the weights, with so many times the rounds, and steps of alpha and lambda shorter by that."""
    search, upper = config.search, config.search.upper
    upper = replace(
        upper,
        alpha_learning_rate=upper.alpha_learning_rate / times,
        lambda_learning_rate=upper.lambda_learning_rate / times,
    )
    rounds = {name: round(getattr(search, name) * times) for name in ("rounds", "warmup_rounds")}
    steps = max(round(search.steps_per_round / times), 1)
    return replace(config, search=replace(search, **rounds, steps_per_round=steps, upper=upper))


def finished(folder: Path) -> bool:
    return (folder / "result.json").exists() and read_result(folder)["status"] == "finished"


def row_of(variant: str, seed: int, folder: Path) -> dict[str, object]:
    """Test figures and cost of a trained model."""
    if not (folder / "test" / "result.json").exists():
        experiment.evaluate(folder, dataset=None)
    metrics = read_result(folder / "test")["metrics"]
    cost = sum(read_result(folder)["device_seconds"].values())
    found = {"dice": metrics["test_dice"], "folds": metrics["folds_percent"], "sdlogj": metrics["sdlogj"]}
    return {"variant": variant, "seed": seed, **found, "device_seconds": cost}


def searched(bench: Bench, variant: str, seed: int) -> dict[str, object]:
    config, folder = bench.configured(seed, SEARCHES[variant]), bench.folder(variant, seed)
    if variant in OFTEN:
        config = as_often(config, OFTEN[variant])
    if not finished(folder):
        watch = Watch(name=f"{variant}, seed {seed}")
        experiment.search(config, dataset=bench.dataset, output=folder, resume=True, watch=watch)
    if not finished(folder / "train"):
        choice = choose(config, search_folder=folder)
        experiment.train(config, choice, dataset=bench.dataset, output=folder / "train", resume=True)
    return row_of(variant, seed, folder / "train")


def studied(bench: Bench, variant: str, seed: int) -> dict[str, object]:
    """As many trials as the device-seconds of `joint` pay for; a trial costs what its final training did."""
    folder = bench.folder(variant, seed)
    joint = searched(bench, "joint", seed)
    training = read_result(bench.folder("joint", seed) / "train")["device_seconds"]["train"]
    trials = max(2, round(float(str(joint["device_seconds"])) / training))
    if not finished(folder):
        config = bench.configured(seed, (*STUDIES[variant], f"tune.trials={trials}"))
        watch = Watch(name=f"{variant} of {trials}, seed {seed}")
        tuning.tune(config, dataset=bench.dataset, output=folder, resume=True, watch=watch)
    return row_of(variant, seed, folder)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Mean and spread over seeds, as Markdown."""
    lines = ["| variant | seeds | Dice | folds % | SDlogJ | device-seconds |", "|---|---|---|---|---|---|"]
    for variant, group in pd.DataFrame(rows).groupby("variant", sort=False):
        dice = f"{group['dice'].mean():.3f} ± {group['dice'].std(ddof=1):.3f}"
        means = group[["folds", "sdlogj", "device_seconds"]].mean()
        cost = f"{means['device_seconds']:.0f}"
        lines.append(f"| {variant} | {len(group)} | {dice} | {means['folds']:.3f} | {means['sdlogj']:.3f} | {cost} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-steps", type=int, default=400)
    parser.add_argument("--only", nargs="+", choices=[*SEARCHES, *STUDIES], help="These variants [default: all].")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    bench = Bench(given.config, given.dataset, given.output, given.train_steps, tuple(given.overrides))
    wanted = given.only or [*SEARCHES, *STUDIES]
    rows: list[dict[str, object]] = []
    for seed in range(given.seeds):
        for variant in wanted:
            run = searched if variant in SEARCHES else studied
            rows.append(run(bench, variant, seed))
            pd.DataFrame(rows).to_csv(bench.output / "ablations.csv", index=False)
            (bench.output / "ablations.md").write_text(table(rows) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
