"""Results, for people."""

from pathlib import Path

import click

from autoreg.cli.options import PATH, announce, output_option


@click.command()
@click.argument("runs", type=PATH, nargs=-1, required=True)
@output_option
def compare(runs: tuple[Path, ...], output: Path | None) -> None:
    """Quality against device-seconds of evaluated runs, as table, curve and page.

    \b
    Example:
      autoreg compare runs/hippocampus/search-1/train runs/hippocampus/tune-1
    """
    from autoreg import experiment

    click.echo(experiment.compare(list(runs), output=output))


@click.command()
@click.argument("run", type=PATH)
def report(run: Path) -> None:
    """Write one self-contained page of a run.

    \b
    Example:
      autoreg report runs/hippocampus/search-1
    """
    from autoreg.reporting.html import run_report

    click.echo(run_report(run))


@click.command()
@click.argument("folder", type=PATH)
def status(folder: Path) -> None:
    """What a running or dead run is doing, from its files alone.

    \b
    Example:
      autoreg status runs/hippocampus/search-1
    """
    from autoreg import account

    announce(account.status(folder))


@click.command()
@click.option("--home", type=PATH, default=Path("runs"), show_default=True, help="Folder of the local store.")
@click.option("--port", type=int, default=5000, show_default=True)
def ui(home: Path, port: int) -> None:
    """Browse runs in MLflow's own pages, on this machine only.

    \b
    Example:
      autoreg ui --home runs
    """
    from autoreg.tracking.mlflow_tracker import serve

    serve(home, port=port)


COMMANDS = (
    compare,
    report,
    status,
    ui,
)
