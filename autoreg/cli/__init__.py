"""The program `autoreg`: a file a command."""

from autoreg.cli.program import main

__all__ = ["main"]
