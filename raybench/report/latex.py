"""Tables as LaTeX with booktabs, for any pdflatex of 2020 or later."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from raybench.report.parts import Grid, Part

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


def render(parts: Sequence[Part], *, width: int | None = None) -> str:  # noqa: ARG001
    """Render floating tables; footnotes on several stand below the last of them."""
    blocks = []
    for part in parts:
        *before, last = part.grids
        blocks += [_floating(grid, grid.notes) for grid in before]
        blocks.append(_floating(last, (*last.notes, *part.notes)))
    return "\n\n".join(blocks)


def _floating(grid: Grid, notes: Sequence[str]) -> str:
    """Return a floating table, no wider than the line, with its notes below."""
    if not grid.heads:
        return "\n".join(f"% {escaped(grid.title)}: {escaped(note)}" for note in notes)
    names = [h.name if h.group else h.name[:1].upper() + h.name[1:] for h in grid.heads]
    align = "l" + ("r" if grid.figures else "l") * (len(names) - 1)
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx} and, for pdflatex, a LaTeX of 2020 or later",
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escaped(grid.title)}}}",
            r"\smallskip",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            *_groups(grid),
            _line(names),
            r"\midrule",
            *map(_line, grid.rows),
            r"\bottomrule",
            r"\end{tabular}}",
            *([r"\begin{flushleft}\footnotesize"] if notes else []),
            *(rf"{escaped(note)}\par" for note in notes),
            *([r"\end{flushleft}"] if notes else []),
            r"\end{table}",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(map(escaped, cells))} \\\\"


def _groups(grid: Grid) -> list[str]:
    """Return the headings above neighbouring columns, and the rules below them."""
    spans, rules, column = [], [], 1
    for group, heads in itertools.groupby(head.group for head in grid.heads):
        count = len(list(heads))
        if group:
            spans.append(rf"\multicolumn{{{count}}}{{c}}{{{escaped(group)}}}")
            rules.append(rf"\cmidrule(lr){{{column}-{column + count - 1}}}")
        else:
            spans += [""] * count
        column += count
    return [f"{' & '.join(spans)} \\\\", " ".join(rules)] if rules else []


def escaped(text: str) -> str:
    """Escape what LaTeX would act on; what pdflatex's fonts may lack becomes a question mark."""
    # Two hyphens, as of an option, would become a dash.
    text = re.sub("-(?=-)", "-{}", text.translate(_LATEX))
    return "".join(c if ord(c) < 0x100 and c not in _NOT_IN_OT1 else "?" for c in text)
