"""The program `autoreg`: arguments in, one experiment function called, errors as one line."""

import json
import logging
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from autoreg.errors import AutoRegError, ConfigError, InputError

Command = Callable[..., None]


class _Program(click.Group):
    """Turns our errors into one line and an exit code: 2 wrong input, 1 failed; a traceback with --debug."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InputError as error:
            return _end(context, error, 2)
        except (AutoRegError, OSError) as error:
            return _end(context, error, 1)
        except KeyboardInterrupt:
            click.echo(
                "interrupted; the last finished round is saved, the same command with --resume goes on", err=True
            )
            context.exit(1)


def _end(context: click.Context, error: Exception, code: int) -> None:
    if context.params.get("debug"):
        raise error
    click.echo(f"autoreg: {' '.join(str(error).split())}", err=True)
    context.exit(code)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.option(
    "--extension",
    "extensions",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Your own primitives, matches and loss terms; runs this file.",
)
@click.version_option(package_name="autoreg")
def main(debug: bool, extensions: tuple[Path, ...]) -> None:
    """Search, train and compare deformable registration models for your own volumes.

    \b
    autoreg demo                                         the whole story on generated volumes
    autoreg data check data/dataset.json                 is my data usable?
    autoreg search launchers/configs/hippocampus.yaml --dataset data/dataset.json --workers 2
    autoreg train --search runs/mydata/search-1
    autoreg evaluate runs/mydata/search-1/train --dataset data/dataset.json
    """
    logging.basicConfig(level=logging.WARNING, format="autoreg: %(message)s", stream=sys.stderr)
    if extensions:
        from autoreg.extensions import load_extensions

        load_extensions(extensions)


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_path = click.Path(path_type=Path)
_config = click.argument("config", type=_path, required=False)
_dataset = click.option("--dataset", type=_path, help="dataset.json of the volumes.")
_output = click.option("--output", type=_path, help="Folder for the results [default: runs/DATASET/COMMAND-N].")
_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key, as search.rounds=50."
)
_seed = click.option("--seed", type=int, help="Seed of everything random.")
_quiet = click.option("--quiet", is_flag=True, help="No progress.")
_dry_run = click.option("--dry-run", is_flag=True, help="Check everything, say what would run, start nothing.")
_resume = click.option("--resume", is_flag=True, help="Go on from the last saved round of --output.")
_workers = click.option("--workers", type=int, help="Ray workers.")
_gpus = click.option("--gpus-per-worker", type=float, help="GPUs of each worker; may be a fraction.")
_address = click.option("--address", help="Address of a running Ray cluster.")
_work = _options(_dataset, _output, _workers, _gpus, _address, _resume, _set, _seed, _quiet, _dry_run)


_KEYS = {
    "seed": "seed",
    "workers": "workers.count",
    "gpus_per_worker": "workers.gpus",
    "address": "workers.address",
    "trials": "tune.trials",
    "pareto": "search.pareto",
    "max_ms": "search.max_ms",
    "max_mib": "search.max_mib",
    "max_params": "search.max_params",
}
"""Options that are short names of configuration keys."""


def _with_config(command: Command) -> Command:
    """Joins the configuration file and the options over it; the command gets `config` ready."""

    @wraps(command)
    def run(config: Path | None, overrides: tuple[str, ...], **options: Any) -> None:
        from autoreg.config import load_config

        given = {key: options.pop(name) for name, key in _KEYS.items() if name in options}
        extra = [
            f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None and value is not False
        ]
        command(config=load_config(config, [*overrides, *extra]), **options)

    return run


def _work_in(
    folder: Path, command: str, config: Any, options: dict[str, Any], work: Callable[..., Any], next_: str
) -> None:
    """Do a command's work in a folder and say how it ended; or, with --dry-run, what it would do."""
    from autoreg import account
    from autoreg.reporting.watch import Watch

    if options["dry_run"]:
        return _announce(account.describe(config, options["dataset"], folder, command))
    watch = Watch(quiet=options["quiet"])
    work(dataset=options["dataset"], output=folder, resume=options["resume"], watch=watch)
    _show_result(folder)
    _announce({"next": f"{next_} {folder}"})


def _folder(config: Any, options: dict[str, Any], command: str) -> Path:
    """The folder asked for, or the first free (with --resume: the last) runs/DATASET/COMMAND-N."""
    if options["output"]:
        return options["output"]
    path, resume = options["dataset"] or config.dataset, options["resume"]
    if path is None:
        raise ConfigError("dataset: expected --dataset PATH/dataset.json, got none")
    home = Path(config.tracking.home) / Path(path).resolve().parent.name
    number = 1
    while (home / f"{command}-{number}").exists():
        number += 1
    if resume and number == 1:
        raise InputError(f"{home}: --resume: expected a {command} to continue, found none; name it with --output")
    return home / f"{command}-{number - 1 if resume else number}"


def _announce(values: dict[str, Any]) -> None:
    for key, value in values.items():
        click.echo(f"{key + ':':<14} {value}")


@main.command()
@_config
@_work
@click.option("--pareto", is_flag=True, help="Also draw a front of Dice, folds and time around the result.")
@click.option("--max-ms", type=float, help="Most milliseconds a pair, measured on a worker.")
@click.option("--max-mib", type=float, help="Most MiB that a training step keeps.")
@click.option("--max-params", type=float, help="Most weights of the network.")
@_with_config
def search(config: Any, **options: Any) -> None:
    """Search architecture and loss weights together with the network's weights.

    \b
    Example:
      autoreg search launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --workers 2
    """
    from autoreg import experiment

    folder = _folder(config, options, "search")
    _work_in(folder, "search", config, options, partial(experiment.search, config), "autoreg train --search")


@main.command()
@_config
@click.option("--search", "search_folder", type=_path, help="Folder of a finished search.")
@click.option("--genotype", type=_path, help="genotype.yaml to build the network from.")
@click.option("--loss-weights", type=_path, help="loss_weights.yaml [default: the search space's starts].")
@click.option("--network", help="A network by name: all-conv1, all-conv3, all-conv7, voxelmorph, voxelmorph-diff.")
@_work
def train(config: Path | None, search_folder: Path | None, **options: Any) -> None:
    """Train a chosen network from scratch with frozen architecture and loss weights.

    \b
    Examples:
      autoreg train --search runs/hippocampus/search-1
      autoreg train launchers/configs/hippocampus.yaml --network all-conv3 --dataset data/hippocampus/dataset.json
    """
    if config is None and search_folder is not None:
        config = search_folder / "config.yaml"
    _train(config=config, search_folder=search_folder, **options)


@_with_config
def _train(
    config: Any,
    search_folder: Path | None,
    genotype: Path | None,
    loss_weights: Path | None,
    network: str | None,
    **options: Any,
) -> None:
    from autoreg import experiment
    from autoreg.choice import choose

    choice = choose(config, search_folder=search_folder, genotype=genotype, loss_weights=loss_weights, network=network)
    if search_folder and not options["output"]:
        options["output"] = search_folder / "train"
    folder = _folder(config, options, f"train-{network or 'genotype'}")
    _work_in(folder, "train", config, options, partial(experiment.train, config, choice), "autoreg evaluate")


@main.command()
@click.argument("model", type=_path)
@_dataset
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option("--save-fields", is_flag=True, help="Also write the displacements in Learn2Reg's layout.")
@_output
@_quiet
def evaluate(
    model: Path, dataset: Path | None, split: str, save_fields: bool, output: Path | None, quiet: bool
) -> None:
    """Score a model: Dice, HD95, folds and SDlogJ by pair and label.

    \b
    Example:
      autoreg evaluate runs/hippocampus/search-1/train --dataset data/hippocampus/dataset.json --split test
    """
    from autoreg import experiment
    from autoreg.reporting.watch import Watch

    folder = experiment.evaluate(
        model, dataset=dataset, split=split, output=output, fields=save_fields, watch=Watch(quiet=quiet)
    )
    _show_result(folder)


@main.command()
@click.argument("model", type=_path)
@click.argument("fixed", type=_path)
@click.argument("moving", type=_path)
@click.option("--warped", type=_path, required=True, help="Where to write the warped moving image.")
@click.option("--transform", type=_path, help="Where to write the displacement field (ITK convention, .nii.gz).")
@click.option("--labels", type=_path, help="Label map of the moving image.")
@click.option("--warped-labels", type=_path, help="Where to write it on the fixed grid.")
@click.option(
    "--grid",
    type=click.Choice(["auto", "headers", "voxels"]),
    default="auto",
    show_default=True,
    help="Match the two grids by their headers or voxel by voxel; auto does as the training data did.",
)
def register(model: Path, fixed: Path, moving: Path, **options: Any) -> None:
    """Register one pair of NIfTI files; results have the fixed image's geometry.

    \b
    Example:
      autoreg register runs/brains/train-1 fixed.nii.gz moving.nii.gz --warped warped.nii.gz
    """
    from autoreg import experiment

    if (options["labels"] is None) != (options["warped_labels"] is None):
        raise InputError("register: --labels and --warped-labels belong together, got one of them")
    _announce(experiment.register(model, fixed, moving, **options))


@main.command()
@_config
@click.option("--trials", type=int, help="Trials of the study.")
@_work
@_with_config
def tune(config: Any, **options: Any) -> None:
    """Manual tuning as people do it: full trainings chosen by Ray Tune with Optuna, same budget, score and splits.

    \b
    Example:
      autoreg tune launchers/configs/hippocampus.yaml --dataset data/hippocampus/dataset.json --trials 10
    """
    from autoreg import experiment

    folder = _folder(config, options, "tune")
    _work_in(folder, "tune", config, options, partial(experiment.tune, config), "autoreg evaluate")


@main.command()
@click.argument("runs", type=_path, nargs=-1, required=True)
@_output
def compare(runs: tuple[Path, ...], output: Path | None) -> None:
    """Quality against device-seconds of evaluated runs, as table, curve and page.

    \b
    Example:
      autoreg compare runs/hippocampus/search-1/train runs/hippocampus/tune-1
    """
    from autoreg import experiment

    click.echo(experiment.compare(list(runs), output=output))


@main.command()
@click.argument("run", type=_path)
def report(run: Path) -> None:
    """Write one self-contained page of a run.

    \b
    Example:
      autoreg report runs/hippocampus/search-1
    """
    from autoreg.reporting.html import run_report

    click.echo(run_report(run))


@main.command()
@click.argument("folder", type=_path)
def status(folder: Path) -> None:
    """What a running or dead run is doing, from its files alone.

    \b
    Example:
      autoreg status runs/hippocampus/search-1
    """
    from autoreg import account

    _announce(account.status(folder))


@main.command()
@click.option("--home", type=_path, default=Path("runs"), show_default=True, help="Folder of the local store.")
@click.option("--port", type=int, default=5000, show_default=True)
def ui(home: Path, port: int) -> None:
    """Browse runs in MLflow's own pages, on this machine only.

    \b
    Example:
      autoreg ui --home runs
    """
    from autoreg.tracking.mlflow_tracker import serve

    serve(home, port=port)


@main.command()
@_output
@_seed
@_quiet
def demo(output: Path | None, seed: int | None, quiet: bool) -> None:
    """The whole story on generated volumes: search, train, evaluate, manual tuning, comparison.

    \b
    Example:
      autoreg demo --output runs/demo
    """
    from autoreg import demo as story
    from autoreg.reporting.watch import Watch

    story.tell(output or Path("runs/demo"), seed=seed or 0, watch=Watch(quiet=quiet))


@main.group()
def data() -> None:
    """Make and check data sets."""


@data.command()
@click.argument("out", type=_path)
@click.option("--subjects", type=click.IntRange(2), default=20, show_default=True)
@click.option("--modalities", default="t1", show_default=True, help="Comma-separated: t1, t2.")
@click.option("--shape", default="48,48,48", show_default=True, help="Voxels by axis; two numbers give 2-D images.")
@_seed
def phantom(out: Path, subjects: int, modalities: str, shape: str, seed: int | None) -> None:
    """Write brain-like phantoms with labels as NIfTI, and their dataset.json.

    \b
    Example:
      autoreg data phantom phantoms --subjects 12 --modalities t1,t2
    """
    from autoreg.data.synthetic import make_phantoms

    try:
        size = tuple(int(n) for n in shape.split(","))
    except ValueError as error:
        raise InputError(f"--shape: expected numbers such as 48,48,48, got {shape!r}") from error
    click.echo(
        make_phantoms(out, subjects=subjects, modalities=tuple(modalities.split(",")), shape=size, seed=seed or 0)
    )


@data.command()
@click.argument("dataset", type=_path)
@_set
def check(dataset: Path, overrides: tuple[str, ...]) -> None:
    """Open every file and report every problem at once.

    \b
    Example:
      autoreg data check data/hippocampus/dataset.json
    """
    from autoreg.config import load_config
    from autoreg.data.check import check_dataset, summarise
    from autoreg.data.dataset import load_dataset

    config = load_config(None, overrides)
    problems = check_dataset(dataset, config.data)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise InputError(f"{dataset}: {len(problems)} problems")
    _announce({**summarise(load_dataset(dataset, config.data)), "problems": "none"})


def _show_result(folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    metrics = {k: round(v, 4) if isinstance(v, float) else v for k, v in result["metrics"].items()}
    _announce({"folder": folder, **metrics})
    if result.get("device_seconds"):
        _announce({"device-seconds": ", ".join(f"{k} {v:.0f}" for k, v in result["device_seconds"].items())})
    if result.get("loss_weights"):
        _announce({"loss weights": ", ".join(f"{k} {v:.3g}" for k, v in result["loss_weights"].items())})
