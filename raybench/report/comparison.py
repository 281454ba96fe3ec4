"""What two result sets, or one's own and published ones, differ in: as text and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from raybench.analysis.compare import Comparison
from raybench.analysis.configurations import dataset_title
from raybench.analysis.tables import QUANTITIES, holms
from raybench.catalog.models import model_title
from raybench.report.explanation import cell_names
from raybench.report.findings import shown
from raybench.report.text import decimals_of, finite, render_rows


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
    problems = [f"{c.title}: {c.problem}" for c in comparison.changes if not c.ratio]
    notes = (
        "mean running time of A over that of B, so that above 1 B is the faster; "
        "[ ]: 95 % interval on the log scale (Welch)",
        *([f"verdicts at 5 %{holms(judged)}"] if judged else []),
        *(
            [f"{shared} trial(s) are in both A and B, which makes them look alike"]
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
                **finite(figures),
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


def render_beside(
    rows: Sequence[Mapping[str, Any]], differences: Sequence[str], source: str, tablefmt: str
) -> str:
    """Render one's own figures beside published ones, of ``raybench.analysis.reference.beside``."""
    heading = f"Beside the published: {source}"
    if not rows:
        return f"{heading}\n\n  no model, dataset and hardware in common"
    several = any(row["configuration"] for row in rows)
    lines = []
    for row in rows:
        quantity = QUANTITIES[row["quantity"]]
        interval = ""
        if row["low"] is not None and row["high"] is not None:
            closest = min(row["high"] - row["own"], row["own"] - row["low"])
            decimals = decimals_of(closest, quantity.decimals)
            interval = f" [{row['low']:.{decimals}f}, {row['high']:.{decimals}f}]"
        decimals = decimals if interval else quantity.decimals
        lines.append(
            {
                "": row["quantity"].replace("-", " "),
                "model": model_title(row["model"]),
                "dataset": dataset_title(row["dataset"]),
                "hardware": row["hardware"],
                **({"configuration": row["configuration"]} if several else {}),
                "own": f"{row['own']:.{decimals}f}{interval}",
                "published": f"{row['published']:.{quantity.decimals}f}",
                "own / published": f"{row['ratio']:.3f}",
            }
        )
    notes = [f"not the same workload: {difference}" for difference in differences]
    if any(row["low"] is not None for row in rows):
        notes.insert(0, "[ ]: 95 % interval of one's own figure")
    return render_rows(heading, lines, tablefmt, notes)
