"""What two result sets, or one's own and published ones, differ in: as text and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from raybench.analysis.compare import Comparison
from raybench.analysis.published import PublishedComparison, WorkloadDifference
from raybench.analysis.quantities import QUANTITIES
from raybench.report import render_rows
from raybench.report.documents import document
from raybench.report.explanation import cell_names
from raybench.report.findings import shown
from raybench.report.labels import cell_title, counted, decimals_of
from raybench.report.notes import holms


def render_comparison(comparison: Comparison) -> str:
    """Render what differs between two result sets, then each cell's change."""
    blocks = []
    if comparison.differences:
        rows = [
            {"differs": d.field, "A": _few(d.a), "B": _few(d.b)} for d in comparison.differences
        ]
        blocks.append(render_rows("Software and hardware", rows, "github"))
    else:
        blocks.append("Software and hardware: no difference on record")
    cells = [
        {
            **cell_names(change.key),
            "configuration": change.configuration,
            "n": str(change.ratio.n),
            "B over A": shown(change.ratio, 3),
            "B is": change.verdict or "of single runs: no verdict",
            "": "TOO SLOW" if change.too_slow else "",
        }
        for change in comparison.changes
        if change.ratio
    ]
    blank = [name for name in ("configuration", "") if not any(row[name] for row in cells)]
    rows = [{k: v for k, v in row.items() if k not in blank} for row in cells]
    shared = comparison.shared_trials
    judged = sum(change.verdict is not None for change in comparison.changes)
    problems = [
        f"{cell_title(c.key, c.configuration)}: {c.problem}"
        for c in comparison.changes
        if not c.ratio
    ]
    notes = (
        "mean running time of A over that of B, so that above 1 B is the faster; "
        "[ ]: 95 % interval on the log scale (Welch)",
        *([f"verdicts at 5 %{holms(judged)}"] if judged else []),
        *(
            [f"{counted(shared, 'trial')} in both A and B, which makes them look alike"]
            if shared
            else []
        ),
        *(f"not compared: {problem}" for problem in problems),
    )
    blocks.append(render_rows("Speed of B over A", rows, "github", notes))
    return "\n\n".join(blocks)


def _few(values: Sequence[str]) -> str:
    more = f" and {len(values) - 3} more" if len(values) > 3 else ""
    return ", ".join(values[:3]) + more


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for programs, unrounded."""
    cells = []
    for change in comparison.changes:
        ratio = change.ratio
        low, high = (ratio.interval if ratio else None) or (None, None)
        figures = {"ratio": ratio.value if ratio else None, "low": low, "high": high}
        cells.append(
            {
                **change.key.document(),
                "configuration": change.configuration,
                **document(figures),
                "n": ratio.n if ratio else 0,
                "verdict": change.verdict,
                "too_slow": change.too_slow,
                "problem": change.problem,
            }
        )
    return {
        "differences": [asdict(d) for d in comparison.differences],
        "cells": cells,
        "shared_trials": comparison.shared_trials,
    }


def render_published(comparison: PublishedComparison, tablefmt: str) -> str:
    """Render one's own figures beside published ones, in any format of tables for people."""
    heading = f"Beside the published: {comparison.source}"
    if not comparison.cells:
        return f"{heading}\n\n  no model, dataset and hardware in common"
    several = any(cell.configuration for cell in comparison.cells)
    rows = []
    for cell in comparison.cells:
        decimals, interval = QUANTITIES[cell.quantity].decimals, ""
        published = f"{cell.published:.{decimals}f}"
        if cell.low is not None and cell.high is not None:
            decimals = decimals_of(min(cell.high - cell.own, cell.own - cell.low), decimals)
            interval = f" [{cell.low:.{decimals}f}, {cell.high:.{decimals}f}]"
        rows.append(
            {
                "": cell.quantity.replace("-", " "),
                **cell_names(cell.key),
                **({"configuration": cell.configuration} if several else {}),
                "own": f"{cell.own:.{decimals}f}{interval}",
                "published": published,
                "own / published": f"{cell.ratio:.3f}",
            }
        )
    notes = [f"not the same workload: {_difference(each)}" for each in comparison.differences]
    if any(cell.low is not None for cell in comparison.cells):
        notes.insert(0, "[ ]: 95 % interval of one's own figure")
    return render_rows(heading, rows, tablefmt, notes)


def _difference(found: WorkloadDifference) -> str:
    published = "without one" if found.published is None else f"with {found.published}"
    return f"{found.field} is {', '.join(found.own)}, published {published}"


def published_document(comparison: PublishedComparison) -> dict[str, Any]:
    """Return one's own figures beside published ones for programs, unrounded."""
    return {
        "source": comparison.source,
        "rows": [
            {
                "quantity": cell.quantity,
                "configuration": cell.configuration,
                **cell.key.document(),
                **{name: getattr(cell, name) for name in ("own", "low", "high", "published")},
                "ratio": cell.ratio,
            }
            for cell in comparison.cells
        ],
        "notes": [
            {"kind": "workload_difference", **asdict(each), "text": _difference(each)}
            for each in comparison.differences
        ],
    }
