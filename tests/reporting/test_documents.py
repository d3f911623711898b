"""Tables in documents."""

import pandas as pd

from autoreg.reporting.documents import as_latex, as_markdown

TABLE = pd.DataFrame([{"a|b": "x_1 ± 2 %", "c": "50 & more"}])


def test_markdown_keeps_its_columns():
    assert as_markdown(TABLE) == "| a\\|b | c |\n| --- | --- |\n| x_1 ± 2 % | 50 & more |"


def test_latex_prints_text_as_it_is():
    lines = as_latex(TABLE, ["a_b: {c}"]).splitlines()
    assert lines[0] == r"\begin{tabular}{ll}"
    assert r"x\_1 $\pm$ 2 \% & 50 \& more \\" in lines
    assert lines[-1] == r"\par\footnotesize a\_b: \{c\}"


def test_latex_escapes_each_character_once():
    assert r"\textbackslash{}\textasciitilde{}\#" in as_latex(pd.DataFrame([{"a": r"\~#"}]))
