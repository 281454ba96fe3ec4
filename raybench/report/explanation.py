"""What explain found, for people, notebooks and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from raybench.analysis.breakdown import SpeedupBreakdown, StepBreakdown
from raybench.analysis.configurations import Key
from raybench.analysis.explain import Explanation
from raybench.analysis.findings import TimeOverFlops
from raybench.catalog.models import MODELS
from raybench.report import render
from raybench.report.documents import document
from raybench.report.findings import about, shown
from raybench.report.labels import dataset_title
from raybench.report.notes import sentence
from raybench.report.parts import Grid, Part, rows_grid

COMPUTE = "the same training step on a batch that is already on the device"

STEP_COLUMNS = {
    "step ms": "mean of the timed epochs, in milliseconds; n: repeats",
    "data": "loading: waiting for the next batch",
    "transfer": "copying it to the device",
    "preprocess": "resizing and normalising on the device",
    "compute": COMPUTE,
    "rest": "kernel launch overhead (the device waits for its next kernel) and the host; "
    "below 0 where parts overlap, or the load differed",
    "GPU busy": "time with a kernel running",
}

SPEEDUP_COLUMNS = {
    "running time": "as in the speedup table, evaluation included; [ ]: 95 % interval",
    "training": "images per second",
    "no input": "training, with data, transfer and preprocessing taken off both sides",
    "compute": COMPUTE,
    "FLOPs": "of the datasheets' peaks for the precision",
    "bandwidth": "of the datasheets' memory bandwidths",
}


class PrintableExplanation(Explanation):
    """An explanation that ``print`` shows as text, and a notebook as HTML."""

    def __str__(self) -> str:
        return render([explanation_part(self)])

    def _repr_html_(self) -> str:
        return render([explanation_part(self)], "html")


def explanation_part(explanation: Explanation) -> Part:
    """Return where steps go, the speedups beside those expected, and the sentences."""
    configuration = f" — {explanation.configuration}" if explanation.configuration else ""
    grids = [
        _grid(
            f"Where a training step's time goes{configuration}",
            [_step_row(key, step) for key, step in explanation.steps.items()],
            STEP_COLUMNS,
        )
    ]
    if explanation.speedups:
        grids.append(
            _grid(
                f"Speedup over {explanation.baseline}, measured and expected{configuration}",
                [_speedup_row(key, speedup) for key, speedup in explanation.speedups.items()],
                SPEEDUP_COLUMNS,
                "overhead: the part of a step that is not compute",
            )
        )
    sections: dict[str, list[str]] = {}
    for finding in explanation.findings:
        sections.setdefault(about(finding), []).append(sentence(finding))
    grids += [rows_grid(title, (), sentences) for title, sentences in sections.items()]
    return Part(
        grids=tuple(grids),
        title=f"Notes{configuration}",
        notes=tuple(map(sentence, explanation.notes)),
    )


def _grid(
    title: str, rows: Sequence[Mapping[str, str]], meanings: Mapping[str, str], *notes: str
) -> Grid:
    """Return a table with the meanings of its columns, and other notes, as footnotes."""
    grid = rows_grid(title, rows)
    names = {head.name for head in grid.heads}
    said = (f"{name}: {meaning}" for name, meaning in meanings.items() if name in names)
    return replace(grid, notes=(*said, *notes))


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
    # The columns are in the order of the fields.
    figures = zip(SPEEDUP_COLUMNS, vars(speedup).values(), strict=True)
    return {**cell_names(key), **{name: "–" if r is None else shown(r) for name, r in figures}}


def cell_names(key: Key) -> dict[str, str]:
    """Return what tables call a cell's model, dataset and hardware."""
    return {
        "model": MODELS.title(key.model),
        "dataset": dataset_title(key.dataset),
        "hardware": str(key.hardware),
    }


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation for programs, unrounded; each finding with its sentence."""
    steps, found = explanation.steps.items(), explanation.findings
    content = {
        "configuration": explanation.configuration,
        "baseline": explanation.baseline,
        "steps": [{**key._asdict(), **vars(step), "rest_ms": step.rest_ms} for key, step in steps],
        "speedups": [{**key._asdict(), **vars(s)} for key, s in explanation.speedups.items()],
        "ms_per_image_over_gflops": [vars(f) for f in found if isinstance(f, TimeOverFlops)],
        "findings": [{**document(f), "about": about(f), "conclusion": f.conclusion} for f in found],
        "notes": explanation.notes,
    }
    return dict(document(content))
