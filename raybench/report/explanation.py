"""What explain found, as text for people and documents for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from raybench.analysis.breakdown import SpeedupBreakdown, StepBreakdown
from raybench.analysis.configurations import Key
from raybench.analysis.explain import Explanation
from raybench.analysis.findings import Finding, TimeOverFlops
from raybench.analysis.statistics import Ratio
from raybench.catalog.hardware import Hardware
from raybench.catalog.models import model_title
from raybench.report import notes, render_rows
from raybench.report.documents import document
from raybench.report.findings import about, sentence, shown
from raybench.report.labels import dataset_title

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

SPEEDUP_COLUMNS = {
    "running time": "as in the speedup table, evaluation included; [ ]: 95 % interval",
    "training": "images per second",
    "no input": "training, were data, transfer and preprocessing taken off both sides",
    "compute": COMPUTE,
    "FLOPs": "of the datasheets' peaks for the precision",
    "bandwidth": "of the datasheets' memory bandwidths",
}


def render_explanation(explanation: Explanation) -> str:
    """Render where steps go, the speedups beside those expected, and the sentences."""
    configuration = f" — {explanation.configuration}" if explanation.configuration else ""
    steps = _known([_step_row(key, step) for key, step in explanation.steps.items()])
    speedups = _known([_speedup_row(key, each) for key, each in explanation.speedups.items()])
    heading = f"Where a training step goes{configuration}"
    blocks = [render_rows(heading, steps, "github", _meanings(steps, STEP_COLUMNS))]
    if speedups:
        heading = f"Speedup over {explanation.baseline}, measured and expected{configuration}"
        meanings = _meanings(speedups, SPEEDUP_COLUMNS)
        meanings.append("overhead: what of a step is not compute")
        blocks.append(render_rows(heading, speedups, "github", meanings))
    sections: dict[str, list[str]] = {}
    for finding in explanation.findings:
        sections.setdefault(about(finding), []).append(sentence(finding))
    for heading, sentences in sections.items():
        blocks.append("\n".join([heading, *(f"- {each}" for each in sentences)]))
    blocks.append("\n".join(f"  {notes.sentence(note)}" for note in explanation.notes))
    return "\n\n".join(blocks)


def _meanings(rows: Sequence[dict[str, str]], of: Mapping[str, str]) -> list[str]:
    """Say what each column that is there means."""
    return [f"{name}: {of[name]}" for name in of if rows and name in rows[0]]


def _known(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out the columns that no row has a figure for."""
    names = {name for row in rows for name, value in row.items() if value != "–"}
    return [{name: value for name, value in row.items() if name in names} for row in rows]


def _step_row(key: Key, step: StepBreakdown) -> dict[str, str]:
    shares, columns = step.shares, ("data", "transfer", "preprocess", "compute", "rest")
    return {
        **cell_names(key),
        "n": str(step.n),
        "step ms": "–" if step.step_ms is None else f"{step.step_ms:.4g}",
        **{name: f"{shares[name]:.0%}" if name in shares else "–" for name in columns},
        "GPU busy": "–" if step.utilization is None else f"{step.utilization:.0%}",
    }


def _speedup_row(key: Key, speedup: SpeedupBreakdown) -> dict[str, str]:
    expected = {"FLOPs": speedup.flops, "bandwidth": speedup.bandwidth}
    measured = {
        "running time": speedup.running_time,
        "training": speedup.training,
        "no input": speedup.without_input,
        "compute": speedup.compute_only,
    }
    return {
        **cell_names(key),
        **{name: shown(ratio) if ratio else "–" for name, ratio in measured.items()},
        **{name: "–" if ratio is None else f"{ratio:.2f}" for name, ratio in expected.items()},
    }


def cell_names(key: Key) -> dict[str, str]:
    """Return what tables call a cell's model, dataset and hardware."""
    return {
        "model": model_title(key.model),
        "dataset": dataset_title(key.dataset),
        "hardware": str(key.hardware),
    }


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation for programs, unrounded."""
    return {
        "configuration": explanation.configuration,
        "baseline": str(explanation.baseline),
        "steps": [
            {**key.document(), **asdict(step), "rest_ms": step.rest_ms}
            for key, step in explanation.steps.items()
        ],
        "speedups": [
            {**key.document(), **_figures(speedup)} for key, speedup in explanation.speedups.items()
        ],
        "ms_per_image_over_gflops": [
            _figures(found) for found in explanation.findings if isinstance(found, TimeOverFlops)
        ],
        "findings": [finding_document(found) for found in explanation.findings],
        "notes": document(explanation.notes),
    }


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding for programs: its kind, its figures and its sentence."""
    conclusion = getattr(finding, "conclusion", None)
    return {
        "kind": type(finding).__name__,
        **_figures(finding),
        **({"conclusion": conclusion} if conclusion else {}),
        "about": about(finding),
        "text": sentence(finding),
    }


def _figures(holder: Finding | SpeedupBreakdown) -> dict[str, Any]:
    return {field.name: _figure(getattr(holder, field.name)) for field in fields(holder)}


def _figure(value: Any) -> Any:
    if isinstance(value, Key):
        return value.document()
    if isinstance(value, Hardware):
        return str(value)
    if isinstance(value, Ratio):
        low, high = value.interval or (None, None)
        return document({"value": value.value, "low": low, "high": high, "n": value.n})
    return dict(value) if isinstance(value, Mapping) else value
