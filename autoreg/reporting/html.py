"""Self-contained pages: one file, no script, nothing fetched from elsewhere."""

import base64
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from autoreg.reporting.console import cell
from autoreg.reporting.page import Section
from autoreg.reporting.run_page import run_sections


def write_report(path: Path, *, title: str, sections: Sequence[Section]) -> Path:
    """Write a page, whole or not at all; every value is escaped. Returns `path`."""
    # A run's name and configuration are the user's text: autoescape keeps them text.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"cell": cell, "base64": lambda png: base64.b64encode(png).decode("ascii")}
    page = environment.get_template("report.html.jinja").render(title=title, sections=sections)
    path = Path(path)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def run_report(run_dir: Path) -> Path:
    """Write `report.html` of any run folder from its files alone; returns its path.

    Raises:
        InputError: the folder has no readable result.json.
    """
    run_dir = Path(run_dir)
    title, sections = run_sections(run_dir)
    return write_report(run_dir / "report.html", title=title, sections=sections)
