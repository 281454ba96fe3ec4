"""What a row of the frame is made of, and what is taken from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from raybench.record.schema import TrialRecord
from raybench.spec.trial import TrialSpec

MOST = 1e15
"""Figures beyond are damage, and count as not measured."""

LARGEST = "largest"
"""The batch size of a spec that leaves it to autotuning; null in the column of whole numbers."""


class Row(NamedTuple):
    """What a row of the frame is made of.

    Attributes:
        spec: what was asked for.
        record: what was measured; None for a planned trial without a record.
        experiment: the experiment's name.
        source: the file that it was read from, or "".
        attempts: how many lesser records of the trial were kept; None for none.
    """

    spec: TrialSpec
    record: TrialRecord | None
    experiment: str = ""
    source: str = ""
    attempts: int | None = None


def printable(text: str) -> str:
    """Return a text with line breaks and control characters escaped, so that it cannot deceive."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def trial_id(row: Row) -> str:
    """The record's own, or the spec's."""
    return row.record.trial_id if row.record else row.spec.trial_id


def started_at(row: Row) -> str:
    """When, or "" for a planned trial."""
    return row.record.started_at if row.record else ""


def status(row: Row) -> str:
    """The record's, unless it is damaged, or ``missing``."""
    return _outcome(row)[0]


def reason(row: Row) -> str:
    """Why it did not complete, in one line."""
    return _outcome(row)[1]


def _outcome(row: Row) -> tuple[str, str]:
    """Return the status and, where it is not completed, the first line of the reason."""
    record = row.record
    if record is None:
        return "missing", ""
    if record.status == "completed":
        if record.running_time_s is None or not 1e-9 < record.running_time_s < MOST:
            return "failed", "damaged: completed without a plausible running time"
        if record.autotune is None and not record.spec.is_resolved:
            return (
                "failed",
                "damaged: completed without the settings that its spec leaves to autotune",
            )
        return "completed", ""
    if record.error is None:
        return record.status, "no reason given"
    lines = record.error.message.strip().splitlines()
    return record.status, ": ".join([record.error.kind, *lines[:1]])


def warnings(row: Row) -> str:
    """The kinds of the record's warnings."""
    return " ".join(warning.kind for warning in row.record.warnings) if row.record else ""


def batch_size(row: Row) -> int | None:
    """The spec's; None for the largest."""
    return row.spec.batch_size if isinstance(row.spec.batch_size, int) else None


def executed_precision(row: Row) -> str | None:
    """What the trial was executed with: autotune's choice, or else the spec's."""
    if row.record is None:
        return None
    return (row.record.autotune.chosen if row.record.autotune else row.spec).precision


def executed_batch_size(row: Row) -> int | None:
    """Images a step, likewise."""
    if row.record is None:
        return None
    return row.record.autotune.chosen.batch_size if row.record.autotune else batch_size(row)


def accuracy(row: Row) -> float | None:
    """After the last epoch."""
    return row.record.epochs[-1].accuracy if row.record and row.record.epochs else None


def epoch_times(row: Row) -> list[float] | None:
    """Seconds of each epoch, evaluation included."""
    if row.record is None:
        return None
    return [epoch.train_time_s + epoch.eval_time_s for epoch in row.record.epochs]


def epoch_accuracies(row: Row) -> list[float] | None:
    """After each epoch."""
    return None if row.record is None else [epoch.accuracy for epoch in row.record.epochs]


def trained_images(row: Row) -> int | None:
    """Over all epochs."""
    return sum(epoch.train_images for epoch in row.record.epochs) or None if row.record else None


def throttle_reasons(row: Row) -> str | None:
    """Why clocks were held down."""
    seen = row.record.device_telemetry if row.record else None
    return (
        None if seen is None or seen.throttle_reasons is None else " ".join(seen.throttle_reasons)
    )


def device(row: Row) -> str | None:
    """The GPU's own name, or the processor's."""
    record = row.record
    if record is None or record.hardware is None:
        return None
    if row.spec.cpu_threads is not None and record.environment is not None:
        return record.environment.cpu  # what is detected names the threads as well
    return record.hardware.detected


_AUTOTUNED_SWITCHES = {
    "cudnn_benchmark": False,
    "matmul_allow_tf32": False,
    "cudnn_allow_tf32": False,
    "float32_matmul_precision": "highest",
}
"""They follow from what autotune chose, and each hardware at its best may differ in that."""


def flags(row: Row) -> str | None:
    """Torch's switches, as JSON."""
    if row.record is None or row.record.environment is None:
        return None
    flags: dict[str, object] = dict(row.record.environment.flags)
    if row.record.autotune is not None:
        flags = {name: _AUTOTUNED_SWITCHES.get(name, value) for name, value in flags.items()}
    return _sorted_json(flags, lambda name: "threads" not in name)


def variables(row: Row) -> str | None:
    """The variables that switch how torch computes, as JSON."""
    if row.record is None or row.record.environment is None:
        return None
    return _sorted_json(row.record.environment.variables, _is_switch)


_SWITCHES = re.compile(
    r"CUDA_LAUNCH_BLOCKING|NVIDIA_TF32_OVERRIDE|LD_PRELOAD"
    r"|(TORCH|TORCHINDUCTOR|PYTORCH|CUBLAS|CUDNN|ONEDNN|DNNL|MALLOC)_\w+"
)
_PLACES = re.compile(r"(HOME|PATH|DIR|ROOT|VERSION|LIST|LOGS|LOGLEVEL|VERBOSE)$")


def _is_switch(name: str) -> bool:
    """Whether a variable changes how torch computes, rather than where something lies or runs."""
    return bool(_SWITCHES.fullmatch(name)) and not _PLACES.search(name)


def _sorted_json(values: Mapping[str, object], wanted: Callable[[str], bool]) -> str:
    return json.dumps({name: values[name] for name in sorted(values) if wanted(name)})
