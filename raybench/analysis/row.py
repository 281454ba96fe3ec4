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
    """What a row of the frame is made of; a planned trial may have no record.

    ``source`` is the file that it was read from, ``attempts`` how many lesser records were kept.
    """

    spec: TrialSpec
    record: TrialRecord | None
    experiment: str = ""
    source: str = ""
    attempts: int | None = None

    @property
    def trial_id(self) -> str:
        """The record's own, or the spec's."""
        return (self.record or self.spec).trial_id

    @property
    def batch_size(self) -> int | None:
        """The spec's; None for the largest."""
        return _whole(self.spec.batch_size)

    @property
    def started_at(self) -> str:
        """When, or "" for a planned trial."""
        return self.record.started_at if self.record else ""

    @property
    def warnings(self) -> str:
        """The kinds of the record's warnings."""
        return " ".join(warning.kind for warning in self.record.warnings) if self.record else ""

    @property
    def status(self) -> str:
        """The record's, unless it is damaged, or ``missing``."""
        return self._outcome[0]

    @property
    def reason(self) -> str:
        """Why it did not complete, in one line."""
        return self._outcome[1]

    @property
    def _outcome(self) -> tuple[str, str]:
        record = self.record
        if record is None:
            return "missing", ""
        if record.status == "completed":
            if record.running_time_s is None or not 1e-9 < record.running_time_s < MOST:
                return "failed", "damaged: completed without a plausible running time"
            if record.autotune is None and not record.spec.is_resolved:
                why = "without the settings that its spec leaves to autotune"
                return "failed", f"damaged: completed {why}"
            return "completed", ""
        if record.error is None:
            return record.status, "no reason given"
        lines = record.error.message.strip().splitlines()
        return record.status, ": ".join([record.error.kind, *lines[:1]])


def _whole(batch_size: int | str) -> int | None:
    return batch_size if isinstance(batch_size, int) else None


def executed_precision(record: TrialRecord) -> str:
    """What the trial was executed with: autotune's choice, or else the spec's."""
    return (record.autotune.chosen if record.autotune else record.spec).precision


def executed_batch_size(record: TrialRecord) -> int | None:
    """Images a step, likewise."""
    return _whole((record.autotune.chosen if record.autotune else record.spec).batch_size)


def accuracy(record: TrialRecord) -> float | None:
    """After the last epoch."""
    return record.epochs[-1].accuracy if record.epochs else None


def throttle_reasons(record: TrialRecord) -> str | None:
    """Why clocks were held down."""
    seen = record.device_telemetry.throttle_reasons if record.device_telemetry else None
    return None if seen is None else " ".join(seen)


def device(record: TrialRecord) -> str | None:
    """The GPU's own name, or the processor's."""
    if record.hardware and record.environment and record.spec.cpu_threads is not None:
        return record.environment.cpu  # what is detected names the threads as well
    return record.hardware.detected if record.hardware else None


_AUTOTUNED_SWITCHES = {
    "cudnn_benchmark": False,
    "matmul_allow_tf32": False,
    "cudnn_allow_tf32": False,
    "float32_matmul_precision": "highest",
}
"""They follow from what autotune chose, and each hardware at its best may differ in that."""


def flags(record: TrialRecord) -> str | None:
    """Torch's switches, as JSON."""
    if record.environment is None:
        return None
    flags: dict[str, object] = dict(record.environment.flags)
    if record.autotune is not None:
        flags = {name: _AUTOTUNED_SWITCHES.get(name, value) for name, value in flags.items()}
    return _sorted_json(flags, lambda name: "threads" not in name)


def variables(record: TrialRecord) -> str | None:
    """The variables that switch how torch computes, as JSON."""
    seen = record.environment
    return _sorted_json(seen.variables, _is_switch) if seen else None


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
