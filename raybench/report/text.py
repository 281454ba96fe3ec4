"""Tables in every format of tabulate."""

from __future__ import annotations

import html
from collections.abc import Sequence

import tabulate

from raybench.report import latex
from raybench.report.parts import Grid, Part


def render(parts: Sequence[Part], tablefmt: str, *, width: int | None = None) -> str:
    """Render tables with their footnotes in a format of tabulate.

    A table that is wider than ``width`` characters is broken up between groups of columns.
    """
    blocks = []
    for part in parts:
        for grid in part.grids:
            body = _body(grid, tablefmt, width) if grid.heads else ""
            blocks += [_prose([grid.title], tablefmt, "h3"), body, _prose(grid.notes, tablefmt)]
        if part.notes:
            blocks += [_prose([part.title], tablefmt, "h3"), _prose(part.notes, tablefmt)]
    return "\n\n".join(block for block in blocks if block)


def _prose(notes: Sequence[str], tablefmt: str, tag: str = "p") -> str:
    """Return lines of prose of that format, or a heading."""
    if tablefmt.startswith("latex"):  # which would act on what the notes quote
        lines = [f"% {note}" for note in notes]
    elif tablefmt.endswith("html"):
        lines = [f"<{tag}>{html.escape(note)}</{tag}>" for note in notes]
    else:
        lines = [f"  {note}" if tag == "p" else note for note in notes]
    return "\n".join(lines)


def _body(grid: Grid, tablefmt: str, width: int | None) -> str:
    columns = range(len(grid.heads))
    body = _table(grid, columns, tablefmt)
    if width is None or max(map(len, body.splitlines())) <= width:
        return body
    groups: dict[str, list[int]] = {}
    for i in columns[1:]:
        groups.setdefault(grid.heads[i].group, []).append(i)
    return "\n\n".join(_table(grid, [0, *group], tablefmt) for group in groups.values())


def _table(grid: Grid, columns: Sequence[int], tablefmt: str) -> str:
    heads = [f"{grid.heads[i].group} {grid.heads[i].name}".strip() for i in columns]
    return tabulate.tabulate(
        [[in_a_cell(row[i], tablefmt) for i in columns] for row in grid.rows],
        headers=[in_a_cell(head, tablefmt) for head in heads],
        tablefmt=tablefmt,
        disable_numparse=True,
        colalign=("left", *("right",) * (len(columns) - 1)) if grid.figures else None,
    )


def in_a_cell(text: str, tablefmt: str) -> str:
    """Escape what a format of tabulate would act on in a cell; html and latex escape themselves."""
    if tablefmt == "unsafehtml":
        return html.escape(text)
    if tablefmt == "latex_raw":
        return latex.escaped(text)
    return text.replace("|", _BARS.get(tablefmt, "|"))


_BARS = {
    **dict.fromkeys(("github", "pipe", "asciidoc", "jira", "youtrack"), r"\|"),
    **dict.fromkeys(("mediawiki", "moinmoin", "textile"), "&#124;"),
    "orgtbl": r"\vert{}",
}
"""What stands for a bar, where a bare one would end the cell."""
