"""The columns of the frame, and the row that a record becomes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from raybench.record.schema import Epoch, TrialRecord
from raybench.spec.fields import names_of
from raybench.spec.identity import Role
from raybench.spec.trial import TrialSpec

DTYPES = {"number": "float64", "count": "Int64", "flag": "boolean", "text": "object"}

_SPEC_DTYPES = {
    **dict.fromkeys(("epochs", "batch_size", "image_size", "repeat", "seed"), "count"),
    **dict.fromkeys(("num_workers", "train_limit", "eval_limit", "warmup_steps"), "count"),
    **dict.fromkeys(("learning_rate", "momentum", "aux_loss_weight"), "number"),
    **dict.fromkeys(("deterministic", "verify_hardware"), "flag"),
}

_SPEC_COLUMNS = {
    name: (_SPEC_DTYPES.get(name, "text"), field.description or "")
    for name, field in TrialSpec.model_fields.items()
}

COLUMNS: dict[str, tuple[str, str]] = {
    "trial_id": ("text", "readable name and hash of the spec"),
    "experiment": ("text", "name of the experiment"),
    "source": ("text", "the file that the row was read from"),
    "status": ("text", "completed, failed, interrupted, or missing: planned, without a record"),
    "reason": ("text", "why it did not complete: the first line"),
    "warnings": ("text", "what a reader of the figures has to know: kinds, separated by a space"),
    "started_at": ("text", "when, UTC, ISO 8601"),
    **_SPEC_COLUMNS,
    "used_precision": ("text", "what the trial was executed with: the spec's, or a tune-up's"),
    "used_batch_size": ("count", "images a step, likewise"),
    "tuned": ("text", "the settings that a tune-up chose"),
    "running_time_s": ("number", "all epochs' training and evaluation, in seconds"),
    "accuracy": ("number", "after the last epoch, 0 to 1"),
    "setup_time_s": ("number", "data, model and device before the warm-up, in seconds"),
    "warmup_time_s": ("number", "untimed steps before the clock starts, in seconds"),
    "images_per_s": ("number", "training images over training seconds"),
    "compute_only_images_per_s": ("number", "the same step on a batch already on the device"),
    "epoch_times_s": ("list", "each epoch's training and evaluation, in seconds"),
    "epoch_accuracies": ("list", "accuracy after each epoch, 0 to 1"),
    "trained_images": ("number", "images trained on, over all epochs"),
    "step_p05_ms": ("number", "5th percentile of the training steps, in milliseconds"),
    "step_p25_ms": ("number", "lower quartile"),
    "step_p50_ms": ("number", "median"),
    "step_p75_ms": ("number", "upper quartile"),
    "step_p95_ms": ("number", "95th percentile"),
    "data_wait_ms": ("number", "median wait for a batch within a step, in milliseconds"),
    "transfer_ms": ("number", "median copy to the device"),
    "preprocess_ms": ("number", "median resizing and normalising on the device"),
    "forward_ms": ("number", "median of the model and the loss"),
    "backward_ms": ("number", "median of the gradients"),
    "optimizer_ms": ("number", "median update of the weights"),
    "energy_j": ("number", "of the timed epochs, evaluation included, in joules"),
    "energy_method": ("text", "counter or integrated_power"),
    "power_w": ("number", "mean power in watts"),
    "utilization": ("number", "mean fraction of time with a kernel running, 0 to 1"),
    "sm_clock_mhz": ("number", "mean clock of the multiprocessors"),
    "temperature_c": ("number", "mean temperature of the GPU"),
    "throttle_reasons": ("text", "reasons for held-down clocks, separated by a space"),
    "mfu": ("number", "model FLOPs over the datasheet's peak, 0 to 1"),
    "peak_allocated_bytes": ("number", "of the device, in tensors"),
    "peak_host_bytes": ("number", "of the trial's process"),
    "co_located_trials": ("count", "the most trials seen beside this one on its host"),
    "load_average": ("number", "of the host over the last minute"),
    "parameters": ("number", "trainable, auxiliary heads included"),
    "flops_per_image": ("number", "of a training step for one image"),
    "device": ("text", "the GPU's own name, or the processor's for cpu:N"),
    "verified": ("flag", "whether the device's own name agrees with the label"),
    "compute_capability": ("text", "of the GPU"),
    "mig": ("flag", "whether it is a slice of a GPU"),
    "mps": ("flag", "whether a multi-process service shares it"),
    "dataset_fingerprint": ("text", "hash of the images and labels that were used"),
    "hostname": ("text", "of the host"),
    "torch": ("text", "version"),
    "torchvision": ("text", "version"),
    "cuda": ("text", "version that torch was built with"),
    "cudnn": ("text", "version"),
    "driver": ("text", "version"),
    "python": ("text", "version"),
    "raybench": ("text", "version"),
    "cpu": ("text", "model of the host's processor"),
    "threads": ("count", "that torch used"),
    "flags": ("text", "torch's switches, bar the numbers of threads, as JSON"),
    "variables": ("text", "environment variables that switch how torch computes, as JSON"),
}
"""Each column's kind (number, count, flag, text, list) and what it holds; the spec's own fields
have the spec's own descriptions."""

IDENTITY: tuple[str, ...] = (
    *(
        n
        for n in _SPEC_COLUMNS
        if n not in (*names_of(Role.REPLICATE), "hardware", "verify_hardware")
    ),
    *("verified", "mig", "mps", "dataset_fingerprint"),
    *("torch", "torchvision", "cuda", "cudnn", "raybench", "flags", "variables"),
)
"""Columns in which two results have to agree before one may be divided by the other."""


MOST = 1e15
"""Figures beyond are damage, and count as not measured."""


def printable(text: str) -> str:
    """Return a text with line breaks and control characters escaped, so that it cannot deceive."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


LARGEST = "largest"
"""The batch size of a spec that leaves it to a tune-up; null in the column of whole numbers."""

_SPEC_NAMES = tuple(TrialSpec.model_fields)
_BEFORE_SPEC = list(COLUMNS).index(_SPEC_NAMES[0])
_AFTER_SPEC = len(COLUMNS) - _BEFORE_SPEC - len(_SPEC_NAMES)


def missing_row(spec: TrialSpec, experiment: str, source: str) -> tuple[Any, ...]:
    """Return the values of ``COLUMNS`` for a planned trial without a record."""
    head = (spec.trial_id, printable(experiment), printable(source), "missing", "", "", "")
    return (*head, *_spec_values(spec), *([None] * _AFTER_SPEC))


def _spec_values(spec: TrialSpec) -> Iterator[Any]:
    values = (getattr(spec, name) for name in _SPEC_NAMES)
    return (None if value == LARGEST else value for value in values)


def _used_values(record: TrialRecord) -> tuple[Any, ...]:
    if record.autotune is not None:
        chosen = record.autotune.chosen
        return chosen.precision, chosen.batch_size, chosen.title
    spec = record.spec
    return spec.precision, None if spec.batch_size == LARGEST else spec.batch_size, None


def record_row(record: TrialRecord, source: str) -> tuple[Any, ...]:
    """Return the values of ``COLUMNS`` for a record, in their order."""
    return (
        printable(record.trial_id),
        printable(record.experiment),
        printable(source),
        *_outcome(record),
        " ".join(printable(warning.kind) for warning in record.warnings),
        printable(record.started_at),
        *_spec_values(record.spec),
        *_used_values(record),
        record.running_time_s,
        *_epoch_values(record),
        *_step_values(record),
        *_device_values(record),
        *_identity_values(record),
    )


def _outcome(record: TrialRecord) -> tuple[str, str]:
    """Return the status and, where it is not completed, the first line of the reason."""
    if record.status == "completed":
        if record.running_time_s is None or not 1e-9 < record.running_time_s < MOST:
            return "failed", "damaged: completed without a plausible running time"
        if record.autotune is None and not record.spec.is_resolved:
            return "failed", "damaged: completed without the tune-up that its spec needs"
        return "completed", ""
    if record.error is None:
        return record.status, "no reason given"
    lines = record.error.message.strip().splitlines()
    return record.status, printable(": ".join([record.error.kind, *lines[:1]]))


def _epoch_values(record: TrialRecord) -> tuple[Any, ...]:
    epochs: tuple[Epoch, ...] = record.epochs
    return (
        epochs[-1].accuracy if epochs else None,
        record.setup_time_s,
        record.warmup_time_s,
        record.images_per_s,
        record.compute_only_images_per_s,
        [epoch.train_time_s + epoch.eval_time_s for epoch in epochs],
        [epoch.accuracy for epoch in epochs],
        sum(epoch.train_images for epoch in epochs) or None,
    )


def _step_values(record: TrialRecord) -> tuple[Any, ...]:
    steps, phases = record.step_ms, record.phases_ms
    times = (steps.p05, steps.p25, steps.p50, steps.p75, steps.p95) if steps else (None,) * 5
    if phases is None:
        return (*times, *(None,) * 6)
    before = (phases.data_wait, phases.transfer, phases.preprocess)
    parts = (*before, phases.forward, phases.backward, phases.optimizer)
    return (*times, *(part.p50 if part else None for part in parts))


def _device_values(record: TrialRecord) -> tuple[Any, ...]:
    seen, memory, others = record.device_telemetry, record.memory, record.contention
    means: tuple[Any, ...] = (None,) * 7
    if seen:
        ranges = (seen.power_w, seen.utilization, seen.sm_clock_mhz, seen.temperature_c)
        reasons = seen.throttle_reasons
        means = (
            seen.energy_j,
            seen.energy_method,
            *(part.mean if part else None for part in ranges),
            None if reasons is None else " ".join(map(printable, reasons)),
        )
    return (
        *means,
        record.mfu,
        memory.peak_allocated_bytes if memory else None,
        memory.peak_host_bytes if memory else None,
        others.co_located_trials if others else None,
        others.load_average if others else None,
        record.model.parameters if record.model else None,
        record.model.flops_per_image if record.model else None,
    )


def _identity_values(record: TrialRecord) -> tuple[Any, ...]:
    device, host = record.hardware, record.environment
    found: tuple[Any, ...] = (None,) * 5
    if device:
        own_name = device.detected
        if record.spec.cpu_threads is not None and host is not None:
            own_name = host.cpu  # what is detected names the threads as well
        names = (own_name, device.compute_capability)
        name, capability = (text and printable(text) for text in names)
        found = (name, device.verified, capability, device.mig, device.mps)
    fingerprint = printable(record.dataset.fingerprint) if record.dataset else None
    if host is None:
        return (*found, fingerprint, *(None,) * 12)
    flags = host.flags
    if record.autotune is not None:
        # They follow from what was chosen, and each hardware at its best may differ in that.
        flags = {name: _TUNED_SWITCHES.get(name, value) for name, value in flags.items()}
    versions = (host.torch, host.torchvision, host.cuda, host.cudnn, host.driver, host.python)
    return (
        *found,
        fingerprint,
        printable(host.hostname),
        *(version and printable(version) for version in versions),
        printable(host.raybench),
        host.cpu and printable(host.cpu),
        host.threads,
        _switches(flags, lambda name: "threads" not in name),
        _switches(host.variables, _is_switch),
    )


_TUNED_SWITCHES: dict[str, Any] = {
    "cudnn_benchmark": False,
    "matmul_allow_tf32": False,
    "cudnn_allow_tf32": False,
    "float32_matmul_precision": "highest",
}
_SWITCHES = re.compile(
    r"CUDA_LAUNCH_BLOCKING|NVIDIA_TF32_OVERRIDE|LD_PRELOAD"
    r"|(TORCH|TORCHINDUCTOR|PYTORCH|CUBLAS|CUDNN|ONEDNN|DNNL|MALLOC)_\w+"
)
_PLACES = re.compile(r"(HOME|PATH|DIR|ROOT|VERSION|LIST|LOGS|LOGLEVEL|VERBOSE)$")


def _is_switch(name: str) -> bool:
    """Whether a variable changes how torch computes, rather than where something lies or runs."""
    return bool(_SWITCHES.fullmatch(name)) and not _PLACES.search(name)


def _switches(values: Mapping[str, Any], wanted: Callable[[str], bool]) -> str:
    return json.dumps({name: values[name] for name in sorted(values) if wanted(name)})
