"""What a notebook shows of a result: short HTML that needs no other file."""

import base64
from collections.abc import Mapping
from html import escape

from autoreg.reporting.console import cell


def facts_html(title: str, facts: Mapping[str, object]) -> str:
    """A heading and a table of names and values; what is None is left out."""
    left = "style='text-align:left'"
    rows = "".join(
        f"<tr><th {left}>{escape(str(name))}</th><td {left}>{escape(cell(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"


def picture_html(png: bytes, alt: str) -> str:
    """A PNG inside the page, as wide as the page at most."""
    data = base64.b64encode(png).decode("ascii")
    return f"<img src='data:image/png;base64,{data}' alt='{escape(alt, quote=True)}' style='max-width:100%'>"
