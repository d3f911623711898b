"""The whole story."""

from pathlib import Path

import click

from autoreg.cli.options import output_option, quiet_option, seed_option


@click.command()
@output_option
@seed_option
@quiet_option
def demo(output: Path | None, seed: int | None, quiet: bool) -> None:
    """The whole story on generated volumes: search, train, evaluate, manual tuning, comparison.

    \b
    Example:
      autoreg demo --output runs/demo
    """
    from autoreg import demo as story
    from autoreg.reporting.watch import Watch

    story.tell(output or Path("runs/demo"), seed=seed or 0, watch=Watch(quiet=quiet))


COMMANDS = (demo,)
