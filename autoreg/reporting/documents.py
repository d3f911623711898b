"""Tables as people put them into documents: Markdown and LaTeX."""

import re
from collections.abc import Sequence

import pandas as pd

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": "$<$",
    ">": "$>$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def as_markdown(shown: pd.DataFrame) -> str:
    """The table in Markdown; its values are text."""
    rows = [list(shown), ["---"] * shown.shape[1], *shown.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(value).replace("|", r"\|") for value in row) + " |" for row in rows)


def as_latex(shown: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """The table as a `tabular` with the rules of the package booktabs, and notes in small print below."""
    head, *rows = [" & ".join(latex(str(value)) for value in row) + r" \\" for row in (list(shown), *shown.to_numpy())]
    lines = [rf"\begin{{tabular}}{{{'l' * shown.shape[1]}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}", *(rf"\par\footnotesize {latex(note)}" for note in notes), ""])


def latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)
