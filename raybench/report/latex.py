"""Tables as LaTeX with booktabs, for any pdflatex of 2020 or later."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LATEX = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "“": "``",
        "”": "''",
        "’": "'",
        "…": r"\dots{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "≈": r"$\approx$",
        "−": r"$-$",
        "·": r"\textperiodcentered{}",
        "–": r"\textendash{}",
        "—": r"\textemdash{}",
    }
)

_NOT_IN_OT1 = "«»ÐðÞþ"
"""What pdflatex's usual fonts lack of Latin-1."""


def floating(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
    *,
    align: str,
    above: Sequence[str] = (),
) -> str:
    """Return a floating table, no wider than the line, with its notes below.

    Args:
        caption, heads, rows, notes: plain text.
        align: of the columns, such as ``lrr``.
        above: lines of LaTeX above the headings.
    """

    def line(cells: Sequence[str]) -> str:
        return f"{' & '.join(map(escaped, cells))} \\\\"

    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx} and, for pdflatex, a LaTeX of 2020 or later",
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            r"\smallskip",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            *above,
            line(heads),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}}",
            *([r"\begin{flushleft}\footnotesize"] if notes else []),
            *(rf"{escaped(note)}\par" for note in notes),
            *([r"\end{flushleft}"] if notes else []),
            r"\end{table}",
        ]
    )


def escaped(text: str) -> str:
    """Escape what LaTeX would act on; what pdflatex's fonts may lack becomes a question mark."""
    # Two hyphens, as of an option, would become a dash.
    text = re.sub("-(?=-)", "-{}", text.translate(_LATEX))
    return "".join(c if ord(c) < 0x100 and c not in _NOT_IN_OT1 else "?" for c in text)
