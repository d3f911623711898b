"""Self-contained pages: one file, nothing fetched from elsewhere, no script but the slider of slices."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from autoreg.files import whole_file
from autoreg.reporting.console import cell
from autoreg.reporting.page import Section
from autoreg.reporting.run_page import run_sections

_HERE = Path(__file__).parent


def write_report(path: Path, *, title: str, sections: Sequence[Section]) -> Path:
    """Write a page, whole or not at all; every value is escaped. Returns `path`."""
    # A run's name and configuration are the user's text: autoescape keeps them text.
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"cell": cell, "base64": _base64}
    script = ""
    if any(section.viewer for section in sections):
        script = (_HERE / "slider.js").read_text(encoding="utf-8")
    # The page's policy runs this script and no other, whatever else finds its way into the page.
    script_hash = f"sha256-{_base64(hashlib.sha256(script.encode()).digest())}"
    page = environment.get_template("report.html.jinja").render(
        title=title, sections=sections, script=script, script_hash=script_hash
    )
    path = Path(path)
    with whole_file(path) as file:
        file.write(page.encode())
    return path


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def run_report(run_dir: Path) -> Path:
    """Write `report.html` of any run folder from its files alone; returns its path.

    Raises:
        InputError: the folder has no readable result.json.
    """
    run_dir = Path(run_dir)
    title, sections = run_sections(run_dir)
    return write_report(run_dir / "report.html", title=title, sections=sections)
