"""Results, for people."""

import ipaddress
from pathlib import Path

import click

from autoreg.cli.options import LOCATION, PATH, announce, output_option
from autoreg.errors import InputError
from autoreg.mirror import working_folder
from autoreg.storage import Location


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
@click.argument("run", type=LOCATION)
def report(run: Location) -> None:
    """Write one self-contained page of a run.

    \b
    Example:
      autoreg report runs/hippocampus/search-1
    """
    from autoreg.reporting.html import run_report

    with working_folder(run) as folder:
        click.echo(run_report(folder))


@click.command()
@click.argument("folder", type=LOCATION)
@click.option("--json", "as_object", is_flag=True, help="One JSON object, for programs.")
def status(folder: Location, as_object: bool) -> None:
    """What a run is doing, did, or died of, and how to go on; from its files alone, also damaged ones.

    \b
    Examples:
      autoreg status runs/hippocampus/search-1
      autoreg status runs/hippocampus/search-1 --json
    """
    from autoreg.status import as_json, read_status

    with working_folder(folder, write=False) as local:
        found = read_status(local)
    click.echo(as_json(found)) if as_object else announce(found.text())


@click.command()
@click.option("--home", type=PATH, default=Path("runs"), show_default=True, help="Folder of the local store.")
@click.option("--port", type=int, default=5000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--allow-public",
    metavar="PROTECTION",
    help="What keeps strangers out, for a --host that others reach: MLflow itself asks nobody for a password.",
)
def ui(home: Path, port: int, host: str, allow_public: str | None) -> None:
    """Browse runs in MLflow's own pages, on this machine only unless told otherwise.

    \b
    Example:
      autoreg ui --home runs
    """
    from autoreg.tracking.mlflow_tracker import serve

    serve(home, port=port, host=_listening(host, allow_public))


def _listening(host: str, protection: str | None) -> str:
    """Raises InputError for an address that others reach, without a word on what protects it."""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if local or (protection and protection.strip()):
        return host
    raise InputError(
        f"--host: expected a loopback address, got {host}, which others reach: they could read and change all runs; "
        "behind a firewall or a proxy with a password say so: --allow-public 'proxy with a password'"
    )


COMMANDS = (
    compare,
    report,
    status,
    ui,
)
