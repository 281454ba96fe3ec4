"""What two result sets, or one's own and published ones, differ in: for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raybench.analysis.compare import Comparison
from raybench.analysis.published import ComparedCell, PublishedComparison, WorkloadDifference
from raybench.analysis.quantities import QUANTITIES
from raybench.errors import count
from raybench.report import render
from raybench.report.documents import document
from raybench.report.explanation import cell_names
from raybench.report.findings import shown
from raybench.report.labels import cell_title, interval_text, listed
from raybench.report.notes import holms, sentence
from raybench.report.parts import Part, rows_grid


class PrintableComparison(Comparison):
    """A comparison that ``print`` shows as text, and a notebook as HTML."""

    def __str__(self) -> str:
        return render([comparison_part(self)])

    def _repr_html_(self) -> str:
        return render([comparison_part(self)], "html")


def comparison_part(comparison: Comparison) -> Part:
    """Return what differs between two result sets, then each cell's change."""
    differences = [
        {"differs": each.field, "A": listed(each.a, 3), "B": listed(each.b, 3)}
        for each in comparison.differences
    ]
    changes = [
        {
            **cell_names(change.key),
            "configuration": change.configuration,
            "n": str(change.ratio.n),
            "B over A": shown(change.ratio, 3),
            "B is": change.verdict or "single runs: no verdict",
            "": "TOO SLOW" if change.too_slow else "",
        }
        for change in comparison.changes
        if change.ratio
    ]
    same = () if differences else ("no difference on record",)
    return Part(
        grids=(
            rows_grid("Software and hardware", differences, same),
            rows_grid("Speed of B over A", changes, _notes(comparison)),
        )
    )


def _notes(comparison: Comparison) -> Iterator[str]:
    yield (
        "mean running time of A over that of B, so that above 1 B is the faster; "
        "[ ]: 95 % interval on the log scale (Welch)"
    )
    judged = sum(change.verdict is not None for change in comparison.changes)
    if judged:
        yield f"verdicts at 5 %{holms(judged)}"
    if comparison.shared_trials:
        shared = count(comparison.shared_trials, "trial")
        yield f"{shared} in both A and B, which makes them look alike"
    for change in comparison.changes:
        if not change.ratio:
            yield f"not compared: {cell_title(change.key, change.configuration)}: {change.problem}"


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for programs, unrounded."""
    cells = []
    for change in comparison.changes:
        ratio = document(change.ratio) or {"value": None, "low": None, "high": None, "n": 0}
        cells.append(
            {
                **change.key._asdict(),
                **{"configuration": change.configuration, "ratio": ratio.pop("value"), **ratio},
                **{name: getattr(change, name) for name in ("verdict", "too_slow", "problem")},
            }
        )
    found = {"differences": comparison.differences, "cells": cells}
    return dict(document({**found, "shared_trials": comparison.shared_trials}))


def published_part(comparison: PublishedComparison) -> Part:
    """Return one's own figures beside published ones."""
    rows = [_published_row(cell) for cell in comparison.cells]
    notes = list(map(sentence, comparison.differences))
    if any(cell.low is not None for cell in comparison.cells):
        notes.insert(0, "[ ]: 95 % interval of one's own figure")
    nothing = ("no model, dataset and hardware in common",)
    heading = f"Compared with published results: {comparison.source}"
    return Part(grids=(rows_grid(heading, rows, notes if rows else nothing),))


def _published_row(cell: ComparedCell) -> dict[str, str]:
    decimals = QUANTITIES[cell.quantity].decimals
    own = f"{cell.own:.{decimals}f}"
    if cell.low is not None and cell.high is not None:
        own = interval_text(cell.own, cell.low, cell.high, decimals)
    return {
        "": cell.quantity.replace("-", " "),
        **cell_names(cell.key),
        "configuration": cell.configuration,
        "own": own,
        "published": f"{cell.published:.{decimals}f}",
        "own / published": f"{cell.ratio:.3f}",
    }


@sentence.register
def _(found: WorkloadDifference) -> str:
    published = "without one" if found.published is None else f"with {found.published}"
    own = ", ".join(found.own)
    return f"not the same workload: {found.field} is {own}, published {published}"


def published_document(comparison: PublishedComparison) -> dict[str, Any]:
    """Return one's own figures beside published ones for programs, unrounded."""
    rows = []
    for cell in comparison.cells:
        figures = document(cell)
        first = {name: figures.pop(name) for name in ("quantity", "configuration")}
        rows.append({**first, **figures.pop("key"), **figures, "ratio": cell.ratio})
    notes = document(comparison.differences)
    return {"source": comparison.source, "rows": rows, "notes": notes}
