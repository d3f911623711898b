"""The program `autoreg`: its commands, and errors as one line with an exit code."""

import logging
import sys
from pathlib import Path
from typing import Any

import click

from autoreg.cli import (
    browse,
    classical,
    data,
    demo,
    evaluate,
    launch,
    publish,
    register,
    search,
    study,
    sweep,
    train,
    tune,
)
from autoreg.errors import AutoRegError, InputError, StorageError


class _Program(click.Group):
    """Turns our errors into one line and an exit code: 2 wrong input, 1 failed; a traceback with --debug."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InputError as error:
            return _end(context, error, 2)
        except (AutoRegError, OSError) as error:
            return _end(context, error, 1, self._cure(context, error))
        except KeyboardInterrupt:
            click.echo(
                "interrupted; the last finished round is saved, the same command with --resume goes on", err=True
            )
            context.exit(1)

    def _cure(self, context: click.Context, error: Exception) -> str:
        """What to do where a file could not be written, if the command can go on."""
        command = self.commands.get(context.invoked_subcommand or "")
        resumes = command is not None and any(parameter.name == "resume" for parameter in command.params)
        unwritten = isinstance(error, StorageError) and ": cannot be written: " in str(error)
        return "; make room, then go on with --resume" if unwritten and resumes else ""


def _end(context: click.Context, error: Exception, code: int, cure: str = "") -> None:
    if context.params.get("debug"):
        raise error
    text = str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:  # without Python's number and quotes
        text = f"{error.filename}: {error.strerror}"
    click.echo(f"autoreg: {' '.join(text.split())}{cure}", err=True)
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


for _module in (search, sweep, train, evaluate, register, tune, classical, study, publish, launch, browse, demo, data):
    for _command in _module.COMMANDS:
        main.add_command(_command)
