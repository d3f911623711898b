"""How far the searched loss weights are from the best of a retrained grid: regret in Dice, with an interval.

    python benchmarks/lambda_regret.py runs/mydata/search-1 --dataset mydata/dataset.json --output runs/mydata/regret

The network is the search's. Points: the searched loss weights, the starts of the space, and the searched ones with one
term divided or multiplied by --factor. Every point is trained from scratch with the same budget (--steps), and the best
is chosen on the selection pairs; regret is its Dice less the searched one's on the test pairs, which chose nothing. It
goes on where it stopped.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd

from autoreg import experiment
from autoreg.choice import Choice, choose
from autoreg.config import Config, config_from_dict, load_space, read_yaml
from autoreg.registration.space import SearchSpace
from autoreg.reporting.statistics import paired_test
from autoreg.reporting.watch import Watch
from autoreg.search.run import read_result
from autoreg.tables import load_table


def points(space: SearchSpace, searched: dict[str, float], factor: float) -> dict[str, dict[str, float]]:
    """Name -> loss weights."""
    found = {"searched": searched, "starts": {t.name: 1.0 if t.reference else t.start for t in space.terms}}
    for term in space.terms:
        if term.reference:
            continue
        for name, by in ((f"{term.name} / {factor:g}", 1 / factor), (f"{term.name} x {factor:g}", factor)):
            moved = min(max(searched[term.name] * by, term.low), term.high)
            found[name] = searched | {term.name: moved}
    return found


def retrained(config: Config, choice: Choice, dataset: Path, folder: Path, name: str) -> dict[str, float]:
    """Validation figures of a point; its test pairs are in folder/test/pairs.parquet."""
    result = folder / "result.json"
    if not (result.exists() and read_result(folder)["status"] == "finished"):
        watch = Watch(quiet=False, name=name)
        experiment.train(config, choice, dataset=dataset, output=folder, resume=True, watch=watch, tracked=False)
    if not (folder / "test" / "pairs.parquet").exists():
        experiment.evaluate(folder, dataset=dataset)
    return read_result(folder)["metrics"]


def dice_by_pair(folder: Path) -> pd.Series:
    pairs = load_table(folder / "test" / "pairs.parquet")
    return pairs.groupby(["fixed", "moving"], sort=False)["dice"].mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", type=Path)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--factor", type=float, default=4.0)
    given = parser.parse_args()
    config = config_from_dict(read_yaml(given.search / "config.yaml"), str(given.search))
    config = replace(config, train=replace(config.train, steps=given.steps, evaluate_every=given.steps))
    choice = choose(config, search_folder=given.search)
    rows = []
    for name, weights in points(load_space(config.space, dims=3), choice.loss_weights, given.factor).items():
        folder = given.output / name.replace(" ", "").replace("/", "-by-")
        point = Choice(choice.network, weights)
        metrics = retrained(config, point, given.dataset, folder, name)
        test = dice_by_pair(folder)
        rows.append({"point": name, "folder": folder, **metrics, "test_dice": test.mean()})
        print(f"{name:<22} validation {metrics['val_dice']:.4f}  score {metrics['score']:.4f}  test {test.mean():.4f}")
    table = pd.DataFrame(rows)
    best, searched = table.loc[table["score"].idxmax()], table.iloc[0]
    found = paired_test(dice_by_pair(best["folder"]).to_numpy(), dice_by_pair(searched["folder"]).to_numpy())
    low, high = found["interval"]
    print(
        f"\nbest by validation: {best['point']}; regret of the searched loss weights on {found['n']} test pairs: ",
        end="",
    )
    print(f"{found['mean_difference']:+.4f} Dice, 95 % interval {low:+.4f} to {high:+.4f}, p = {found['p_value']:.2g}")
    table.drop(columns="folder").to_csv(given.output / "regret.csv", index=False)
    (given.output / "regret.json").write_text(
        json.dumps({"best": best["point"], "steps": given.steps, **found}, indent=2)
    )


if __name__ == "__main__":
    main()
