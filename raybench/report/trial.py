"""One record, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from raybench.errors import count, printable
from raybench.record.autotune import Autotune
from raybench.record.schema import TrialRecord
from raybench.spec.trial import TrialSpec


def summary(record: TrialRecord, path: Path | None = None) -> str:
    """Return what a person wants to know of one trial, a line each, and where its record lies."""
    rows = [*_outcome(record), *_figures(record), *_circumstances(record)]
    if path is not None:
        rows.append(("record", str(path)))
    lines = "\n".join(f"{name:<18}  {text}" for name, text in rows)
    return printable(lines, keep="\n")


def _outcome(record: TrialRecord) -> Iterator[tuple[str, str]]:
    yield "trial", record.spec.title
    yield "status", record.status
    if record.error:
        yield "error", record.error.message.replace("\n", "\n" + " " * 20)
    if record.hardware:
        verified = "verified" if record.hardware.verified else "NOT verified"
        yield "hardware", f"{record.hardware.detected} ({verified})"
    if record.autotune:
        yield "executed", f"{record.autotune.chosen.title}, as autotune chose"


def _figures(record: TrialRecord) -> Iterator[tuple[str, str]]:
    if record.running_time_s is not None:
        epochs = count(len(record.epochs), "epoch")
        yield "running time", f"{record.running_time_s:.3f} s for {epochs}"
        yield "accuracy", f"{record.epochs[-1].accuracy:.4f}"
    if record.images_per_s is not None:
        yield "training", f"{record.images_per_s:.1f} images/s end to end"
    if record.compute_only_images_per_s is not None:
        yield "compute only", f"{record.compute_only_images_per_s:.1f} images/s"
    if (step := record.step_ms) is not None:
        spread = f"5–95 %: {step.p05:.2f}–{step.p95:.2f}"
        yield "step", f"{step.p50:.2f} ms (median of {step.count}; {spread})"
    if record.phases_ms is not None:
        phases = record.phases_ms.model_dump()
        parts = [f"{name} {part['p50']:.2f}" for name, part in phases.items() if part]
        yield "phases", ", ".join(parts) + " ms"
    if record.device_telemetry and record.device_telemetry.energy_j is not None:
        yield "energy", f"{record.device_telemetry.energy_j:.1f} J"


def _circumstances(record: TrialRecord) -> Iterator[tuple[str, str]]:
    if record.setup_time_s is not None:
        warmup = f", warm-up {record.warmup_time_s:.2f} s" if record.warmup_time_s else ""
        yield "untimed", f"setup {record.setup_time_s:.2f} s{warmup}"
    for warning in record.warnings:
        yield "warning", warning.message


def autotune_text(spec: TrialSpec, found: Autotune) -> str:
    """Return what autotune tried and chose, and how to name it in a spec."""
    from tabulate import tabulate  # noqa: PLC0415 - a record is shown without it

    rows = [
        (
            candidate.settings.title,
            _number(candidate.images_per_s, 1),
            _number(candidate.first_loss, 4),
            _number(candidate.loss_fall, 4),
            printable(candidate.outcome),
        )
        for candidate in found.candidates
    ]
    heads = ["tried", "images/s", "first loss", "fall in 8 steps", "outcome"]
    align = ("left", "right", "right", "right", "left")
    table = tabulate(rows, heads, "github", disable_numparse=True, colalign=align)
    chosen = found.chosen
    named = " ".join(f"-s {name}={value}" for name, value in chosen.model_dump().items())
    return (
        f"{spec.title}, {spec.image_size}×{spec.image_size}, on {found.hostname}\n\n{table}\n\n"
        f"chosen: {chosen.title}\n        {found.reason}\n"
        f"took:   {found.time_s:.0f} s\n"
        f"in a spec of its own: {named}"
    )


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
