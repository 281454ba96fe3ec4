"""What explain, compare and a reference found, as text for people and documents for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from raybench.analysis.compare import Comparison
from raybench.analysis.configurations import Key, dataset_title
from raybench.analysis.explain import Explanation, Gain, Parts
from raybench.analysis.sentences import shown
from raybench.analysis.statistics import Ratio
from raybench.analysis.tables import QUANTITIES, holms
from raybench.catalog.models import model_title
from raybench.report.text import decimals_of, finite, render_rows


def render_explanation(explanation: Explanation) -> str:
    """Render where steps go, the speedups beside those expected, and the sentences."""
    configuration = f" — {explanation.configuration}" if explanation.configuration else ""
    steps = _known([_step_row(key, parts) for key, parts in explanation.parts.items()])
    gains = _known([_gain_row(key, gain) for key, gain in explanation.gains.items()])
    heading = f"Where a training step goes{configuration}"
    blocks = [render_rows(heading, steps, "github", _meanings(steps, STEP_COLUMNS))]
    if gains:
        heading = f"Speedup over {explanation.baseline}, measured and expected{configuration}"
        meanings = [*_meanings(gains, GAIN_COLUMNS), "overhead: what of a step is not compute"]
        blocks.append(render_rows(heading, gains, "github", meanings))
    for about, sentences in explanation.sentences.items():
        blocks.append("\n".join([about, *(f"- {sentence}" for sentence in sentences)]))
    blocks.append("\n".join(f"  {note}" for note in explanation.notes))
    return "\n\n".join(blocks)


COMPUTE = "the same training step on a batch that is already on the device"

STEP_COLUMNS = {
    "step ms": "mean of the timed epochs, in milliseconds; n: repeats",
    "data": "waiting for a batch",
    "transfer": "copying it to the device",
    "preprocess": "resizing and normalising on the device",
    "compute": COMPUTE,
    "rest": "launch gaps (the device waits for its next kernel) and the host; "
    "below 0 where parts overlap, or the load was another",
    "GPU busy": "time with a kernel running",
}

GAIN_COLUMNS = {
    "running time": "as in the speedup table, evaluation included; [ ]: 95 % interval",
    "training": "images per second",
    "no input": "training, were data, transfer and preprocessing taken off both sides",
    "compute": COMPUTE,
    "FLOPs": "of the datasheets' peaks for the precision",
    "bandwidth": "of the datasheets' memory bandwidths",
}


def _meanings(rows: Sequence[dict[str, str]], of: Mapping[str, str]) -> list[str]:
    """Say what each column that is there means."""
    return [f"{name}: {of[name]}" for name in of if rows and name in rows[0]]


def _known(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out the columns that no row has a figure for."""
    names = {name for row in rows for name, value in row.items() if value != "–"}
    return [{name: value for name, value in row.items() if name in names} for row in rows]


def _step_row(key: Key, parts: Parts) -> dict[str, str]:
    def share(milliseconds: float | None) -> str:
        if milliseconds is None or not parts.step_ms:
            return "–"
        return f"{milliseconds / parts.step_ms:.0%}"

    return {
        **_names(key),
        "n": str(parts.n),
        "step ms": "–" if parts.step_ms is None else f"{parts.step_ms:.4g}",
        "data": share(parts.data_ms),
        "transfer": share(parts.transfer_ms),
        "preprocess": share(parts.preprocess_ms),
        "compute": share(parts.compute_ms),
        "rest": share(parts.rest_ms),
        "GPU busy": "–" if parts.utilization is None else f"{parts.utilization:.0%}",
    }


def _gain_row(key: Key, gain: Gain) -> dict[str, str]:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    return {
        **_names(key),
        "running time": shown(gain.running_time),
        "training": shown(gain.training) if gain.training else "–",
        "no input": shown(gain.without_input) if gain.without_input else "–",
        "compute": shown(gain.compute_only) if gain.compute_only else "–",
        "FLOPs": number(gain.flops),
        "bandwidth": number(gain.bandwidth),
    }


def _names(key: Key) -> dict[str, str]:
    return {
        "model": model_title(key.model),
        "dataset": dataset_title(key.dataset),
        "hardware": str(key.hardware),
    }


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation for programs, unrounded."""

    def ratio(found: Ratio | None) -> dict[str, Any] | None:
        if found is None:
            return None
        low, high = found.interval or (None, None)
        return finite({"value": found.value, "low": low, "high": high, "n": found.n})

    return {
        "configuration": explanation.configuration,
        "baseline": str(explanation.baseline),
        "steps": [
            {**key.document(), **asdict(parts), "rest_ms": parts.rest_ms}
            for key, parts in explanation.parts.items()
        ],
        "speedups": [
            {
                **key.document(),
                "running_time": ratio(gain.running_time),
                "training": ratio(gain.training),
                "without_input": ratio(gain.without_input),
                "compute_only": ratio(gain.compute_only),
                "flops": gain.flops,
                "bandwidth": gain.bandwidth,
            }
            for key, gain in explanation.gains.items()
        ],
        "ms_per_image_over_gflops": [
            {"dataset": dataset, "hardware": str(hardware), **asdict(line)}
            for (dataset, hardware), line in explanation.lines.items()
        ],
        "sentences": {about: list(said) for about, said in explanation.sentences.items()},
        "notes": list(explanation.notes),
    }


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
            **_names(change.key),
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
