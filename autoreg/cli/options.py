"""What the commands share: options, the configuration they change, the folder they write, what they say in the end."""

import json
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from autoreg.errors import ConfigError, InputError
from autoreg.mirror import working_folder
from autoreg.storage import Location, as_location, folder_and_name, is_uri

Command = Callable[..., None]


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


PATH = click.Path(path_type=Path)


class _LocationType(click.Path):
    """A path, or a URI as s3://bucket/folder, which is not one."""

    name = "path or URI"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return as_location(value)


LOCATION = _LocationType()
config_argument = click.argument("config", type=PATH, required=False)
dataset_option = click.option("--dataset", type=LOCATION, help="dataset.json of the volumes; a path or a URI.")
output_option = click.option(
    "--output", type=LOCATION, help="Folder for the results, a path or a URI [default: runs/DATASET/COMMAND-N]."
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key, as search.rounds=50."
)
seed_option = click.option("--seed", type=int, help="Seed of everything random.")
quiet_option = click.option("--quiet", is_flag=True, help="No progress.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Check everything, say what would run, start nothing.")
resume_option = click.option("--resume", is_flag=True, help="Go on from the last saved round of --output.")
HERE = ""
resume_where_option = click.option(
    "--resume",
    is_flag=False,
    flag_value=HERE,
    metavar="[FOLDER|RUN]",
    help="Go on from the last saved round: of --output, or of the folder or MLflow run named here.",
)
refine_option = click.option(
    "--refine",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="STEPS",
    help="Steps that improve each displacement on its own pair, by the model's loss without labels.",
)
workers_option = click.option("--workers", type=int, help="Ray workers.")
gpus_option = click.option("--gpus-per-worker", type=float, help="GPUs of each worker; may be a fraction.")
address_option = click.option("--address", help="Address of a running Ray cluster.")
work_options = together(
    dataset_option,
    output_option,
    workers_option,
    gpus_option,
    address_option,
    resume_where_option,
    set_option,
    seed_option,
    quiet_option,
    dry_run_option,
)


_KEYS = {
    "seed": "seed",
    "workers": "workers.count",
    "gpus_per_worker": "workers.gpus",
    "address": "workers.address",
    "trials": "tune.trials",
    "searched_network": "search.network",
    "pareto": "search.pareto",
    "max_ms": "search.max_ms",
    "max_mib": "search.max_mib",
    "max_params": "search.max_params",
}
"""Options that are short names of configuration keys."""


def with_config(command: Command) -> Command:
    """Joins the configuration file and the options over it; the command gets `config` ready."""

    @wraps(command)
    def run(config: Path | None, overrides: tuple[str, ...], **options: Any) -> None:
        from autoreg.config import load_config

        given = {key: options.pop(name) for name, key in _KEYS.items() if name in options}
        resumed = options.get("resume")
        extra = [
            f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None and value is not False
        ]
        if isinstance(resumed, str):
            options["resume"] = True
            if resumed != HERE:
                stores = [text for text in overrides if text.startswith("tracking.")]
                options["output"] = _resumed_folder(resumed, load_config(config, stores).tracking)
                with working_folder(options["output"], write=False) as folder:
                    config = config or folder / "config.yaml"
        elif "resume" in options:
            options["resume"] = bool(resumed)
        command(config=load_config(config, [*overrides, *extra]), **options)

    return run


def _resumed_folder(named: str, tracking: Any) -> Location:
    """The folder of a run, by itself or by the run's id in MLflow. Raises InputError when there is none."""
    if is_uri(named):
        return named
    folder = Path(named)
    if re.fullmatch("[0-9a-f]{32}", named) and not folder.exists():
        from autoreg.tracking.mlflow_tracker import folder_of_run

        folder = folder_of_run(named, uri=tracking.uri, home=Path(tracking.home))
    if not (folder / "result.json").exists():
        raise InputError(f"--resume: expected a run's folder or the id of its MLflow run, got {folder}")
    return folder


def work_in(
    place: Location, command: str, config: Any, options: dict[str, Any], work: Callable[..., Any], next_: str
) -> None:
    """Do a command's work in a folder (for a URI the local one), say how it ended; with --dry-run, what it would do."""
    from autoreg import account
    from autoreg.reporting.watch import Watch

    if options["dry_run"]:
        return announce(account.describe(config, options["dataset"], place, command))
    watch = Watch(quiet=options["quiet"])
    with working_folder(place) as folder:
        try:
            work(dataset=options["dataset"], output=folder, resume=options["resume"], watch=watch)
        except KeyboardInterrupt:
            watch.close()
            _say_how_to_go_on(folder, place)
    show_result(folder, place)
    announce({"next": f"{next_} {place}"})


def _say_how_to_go_on(folder: Path, place: Location) -> None:
    """Ends the program: 1, as a command that did not finish."""
    from autoreg.status import read_status

    if not (folder / "result.json").exists():
        raise KeyboardInterrupt
    status = read_status(folder)
    saved = f"round {status.rounds_done} of {status.rounds_total} is saved" if status.rounds_done else "nothing is lost"
    resume = str(status.resume).replace(str(folder), str(place))
    click.echo(f"autoreg: interrupted; {saved}; go on with: {resume}", err=True)
    raise click.exceptions.Exit(1)


def default_folder(config: Any, options: dict[str, Any], command: str) -> Location:
    """The folder asked for, or the first free (with --resume: the last) runs/DATASET/COMMAND-N."""
    if options["output"]:
        return options["output"]
    path, resume = options["dataset"] or config.dataset, options["resume"]
    if path is None:
        raise ConfigError("dataset: expected --dataset PATH/dataset.json, got none")
    parent = folder_and_name(path)[0] if is_uri(path) else str(Path(path).resolve().parent)
    home = Path(config.tracking.home) / parent.rpartition("/")[2]
    number = 1
    while (home / f"{command}-{number}").exists():
        number += 1
    if resume and number == 1:
        raise InputError(f"{home}: --resume: expected a {command} to continue, found none; name it with --output")
    return home / f"{command}-{number - 1 if resume else number}"


def announce(values: dict[str, Any]) -> None:
    for key, value in values.items():
        click.echo(f"{key + ':':<14} {value}")


def show_result(folder: Path, place: Location | None = None) -> None:
    """Tell what result.json says; `place` is what the user calls the folder."""
    result = json.loads((folder / "result.json").read_text())
    metrics = {k: round(v, 4) if isinstance(v, float) else v for k, v in result["metrics"].items()}
    announce({"folder": place or folder, **metrics})
    if result.get("device_seconds"):
        announce({"device-seconds": ", ".join(f"{k} {v:.0f}" for k, v in result["device_seconds"].items())})
    if result.get("loss_weights"):
        announce({"loss weights": ", ".join(f"{k} {v:.3g}" for k, v in result["loss_weights"].items())})
