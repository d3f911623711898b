"""The whole story on generated volumes: search, train, evaluate, manual tuning, comparison."""

from dataclasses import replace
from pathlib import Path

import click

from autoreg import experiment, tuning
from autoreg.choice import choose
from autoreg.config import Config, config_from_dict, read_yaml, shipped
from autoreg.data.synthetic import make_phantoms
from autoreg.reporting.watch import Watch
from autoreg.search.run import is_finished

SUBJECTS = 32


def tell(output: Path, *, seed: int, watch: Watch) -> Path:
    """Run the demo into a folder, or what is left of it; returns the comparison's folder."""
    config = config_from_dict(read_yaml(shipped("launchers") / "configs" / "demo.yaml") | {"seed": seed}, "demo.yaml")
    say = click.echo if not watch.quiet else (lambda text: None)
    shape = (40, 48, 40)

    say(f"1/6 phantoms: {SUBJECTS} subjects of {shape} voxels")
    dataset = output / "data" / "dataset.json"
    if not dataset.exists():
        make_phantoms(dataset.parent, subjects=SUBJECTS, shape=shape, seed=seed)
    config = _with_home(config, output)

    say("2/6 search: architecture and loss weights together with the weights, on Ray")
    searched = output / "search"
    if not is_finished(searched):
        experiment.search(config, dataset=dataset, output=searched, resume=True, watch=watch)

    say("3/6 train: the found network from scratch")
    found = _trained(config, dataset, output / "autoreg", watch, search_folder=searched)

    say("4/6 train: every edge a 3x3x3 convolution, default loss weights")
    plain = _trained(config, dataset, output / "all-conv3", watch, network="all-conv3")

    say(f"5/6 manual tuning: {config.tune.trials} trainings chosen by Optuna")
    tuned = output / "optuna"
    if not is_finished(tuned):
        tuning.tune(config, dataset=dataset, output=tuned, resume=True, watch=watch)
    experiment.evaluate(tuned, dataset=dataset, watch=watch)

    say("6/6 comparison")
    click.echo(experiment.compare([found, plain, tuned], output=output / "compare"))
    click.echo(f"MLflow store: {config_home(output)} (autoreg ui --home {config_home(output)})")
    return output / "compare"


def config_home(output: Path) -> Path:
    """Folder of the demo's MLflow store."""
    return output / "mlflow"


def _with_home(config: Config, output: Path) -> Config:
    return replace(config, tracking=replace(config.tracking, home=str(config_home(output))))


def _trained(
    config: Config,
    dataset: Path,
    output: Path,
    watch: Watch,
    *,
    search_folder: Path | None = None,
    network: str | None = None,
) -> Path:
    choice = choose(config, search_folder=search_folder, network=network)
    if not is_finished(output):
        experiment.train(config, choice, dataset=dataset, output=output, resume=True, watch=watch)
    experiment.evaluate(output, dataset=dataset, watch=watch)
    return output
