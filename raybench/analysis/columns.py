"""The columns of the frame, a row a column: to add one, add a row to ``COLUMNS``.

The spec's own columns come from the spec's fields: name, dtype, meaning and role.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, Union, get_args, get_origin

from raybench.analysis import row as values
from raybench.record.schema import TrialRecord
from raybench.spec.identity import Role, role_of
from raybench.spec.trial import TrialSpec

Dtype = Literal["number", "count", "flag", "text", "list"]

BOOKKEEPING, CONTEXT, FACTOR, FIGURE = Role.BOOKKEEPING, Role.CONTEXT, Role.FACTOR, Role.FIGURE


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it holds, with its unit, and its role in the comparison of two results.

    ``get`` is where the value stands in a ``Row``, by a dotted name, or what returns it for a
    record; it is None where any part of it is unknown.
    """

    name: str
    dtype: Dtype
    role: Role
    meaning: str
    get: str | Callable[[TrialRecord], object]


def dtype_of(annotation: object) -> Dtype:
    """Return the dtype of a field's type; that of the number where a word may stand instead.

    Raises:
        TypeError: no dtype is known for the type.
    """
    if annotation in _DTYPES:
        return _DTYPES[annotation]
    if get_origin(annotation) is Annotated:
        return dtype_of(get_args(annotation)[0])
    if get_origin(annotation) is Literal and all(type(v) is str for v in get_args(annotation)):
        return "text"
    if get_origin(annotation) in (Union, types.UnionType):
        found = {dtype_of(each) for each in get_args(annotation) if each is not type(None)}
        if len(found) == 1 or len(found - {"text"}) == 1:
            return min(found, key=lambda dtype: dtype == "text")
    raise TypeError(f"no dtype for a column of {annotation}")


_DTYPES: dict[object, Dtype] = {str: "text", int: "count", float: "number", bool: "flag"}


def _spec_columns() -> Iterable[Column]:
    for name, field in TrialSpec.model_fields.items():
        dtype = dtype_of(field.annotation)
        get = f"spec.{name}" if name != "batch_size" else name
        yield Column(name, dtype, role_of(field), field.description or "", get)


def table(*columns: Column) -> dict[str, Column]:
    """Return columns by their names, which have to differ."""
    found = {column.name: column for column in columns}
    assert len(found) == len(columns), "two columns have one name"
    return found


# fmt: off
COLUMNS = table(
    Column("trial_id", "text", BOOKKEEPING, "readable name and hash of the spec", "trial_id"),
    Column("experiment", "text", BOOKKEEPING, "name of the experiment", "experiment"),
    Column("source", "text", BOOKKEEPING, "the file that the row was read from", "source"),
    Column("status", "text", BOOKKEEPING,
           "completed, failed, interrupted, or missing: planned, without a record", "status"),
    Column("reason", "text", BOOKKEEPING, "why it did not complete: the first line", "reason"),
    Column("warnings", "text", BOOKKEEPING,
           "what a reader of the figures has to know: kinds, separated by a space",
           "warnings"),
    Column("attempts", "count", BOOKKEEPING,
           "other records of the trial, which this one is better than; null for none", "attempts"),
    Column("started_at", "text", BOOKKEEPING, "when, UTC, ISO 8601", "started_at"),
    *_spec_columns(),
    Column("executed_precision", "text", BOOKKEEPING,
           "what the trial was executed with: the spec's, or autotune's choice",
           values.executed_precision),
    Column("executed_batch_size", "count", BOOKKEEPING, "images a step, likewise",
           values.executed_batch_size),
    Column("tuned", "text", BOOKKEEPING, "the settings that autotune chose",
           "record.autotune.chosen.title"),
    Column("running_time_s", "number", FIGURE, "all epochs' training and evaluation, in seconds",
           "record.running_time_s"),
    Column("accuracy", "number", FIGURE, "after the last epoch, 0 to 1", values.accuracy),
    Column("setup_time_s", "number", FIGURE,
           "data, model and device before the warm-up, in seconds", "record.setup_time_s"),
    Column("warmup_time_s", "number", FIGURE, "untimed steps before the clock starts, in seconds",
           "record.warmup_time_s"),
    Column("images_per_s", "number", FIGURE, "training images over training seconds",
           "record.images_per_s"),
    Column("compute_only_images_per_s", "number", FIGURE,
           "the same step on a batch already on the device", "record.compute_only_images_per_s"),
    Column("epoch_times_s", "list", FIGURE, "each epoch's training and evaluation, in seconds",
           lambda record: [each.train_time_s + each.eval_time_s for each in record.epochs]),
    Column("epoch_accuracies", "list", FIGURE, "accuracy after each epoch, 0 to 1",
           lambda record: [each.accuracy for each in record.epochs]),
    Column("trained_images", "number", FIGURE, "images trained on, over all epochs",
           lambda record: sum(each.train_images for each in record.epochs) or None),
    Column("step_p05_ms", "number", FIGURE, "5th percentile of the training steps, in milliseconds",
           "record.step_ms.p05"),
    Column("step_p25_ms", "number", FIGURE, "lower quartile", "record.step_ms.p25"),
    Column("step_p50_ms", "number", FIGURE, "median", "record.step_ms.p50"),
    Column("step_p75_ms", "number", FIGURE, "upper quartile", "record.step_ms.p75"),
    Column("step_p95_ms", "number", FIGURE, "95th percentile", "record.step_ms.p95"),
    Column("data_wait_ms", "number", FIGURE,
           "median wait for a batch within a step, in milliseconds",
           "record.phases_ms.data_wait.p50"),
    Column("transfer_ms", "number", FIGURE, "median copy to the device",
           "record.phases_ms.transfer.p50"),
    Column("preprocess_ms", "number", FIGURE, "median resizing and normalising on the device",
           "record.phases_ms.preprocess.p50"),
    Column("forward_ms", "number", FIGURE, "median of the model and the loss",
           "record.phases_ms.forward.p50"),
    Column("backward_ms", "number", FIGURE, "median of the gradients",
           "record.phases_ms.backward.p50"),
    Column("optimizer_ms", "number", FIGURE, "median update of the weights",
           "record.phases_ms.optimizer.p50"),
    Column("energy_j", "number", FIGURE, "of the timed epochs, evaluation included, in joules",
           "record.device_telemetry.energy_j"),
    Column("energy_method", "text", FIGURE, "counter or integrated_power",
           "record.device_telemetry.energy_method"),
    Column("power_w", "number", FIGURE, "mean power in watts",
           "record.device_telemetry.power_w.mean"),
    Column("utilization", "number", FIGURE, "mean fraction of time with a kernel running, 0 to 1",
           "record.device_telemetry.utilization.mean"),
    Column("sm_clock_mhz", "number", FIGURE, "mean clock of the multiprocessors",
           "record.device_telemetry.sm_clock_mhz.mean"),
    Column("temperature_c", "number", FIGURE, "mean temperature of the GPU",
           "record.device_telemetry.temperature_c.mean"),
    Column("throttle_reasons", "text", FIGURE, "reasons for held-down clocks, separated by a space",
           values.throttle_reasons),
    Column("mfu", "number", FIGURE, "model FLOPs over the datasheet's peak, 0 to 1", "record.mfu"),
    Column("peak_allocated_bytes", "number", FIGURE, "of the device, in tensors",
           "record.memory.peak_allocated_bytes"),
    Column("peak_host_bytes", "number", FIGURE, "of the trial's process",
           "record.memory.peak_host_bytes"),
    Column("co_located_trials", "count", FIGURE, "the most trials seen beside this one on its node",
           "record.contention.co_located_trials"),
    Column("load_average", "number", FIGURE, "of the node over the last minute",
           "record.contention.load_average"),
    Column("parameters", "number", FIGURE, "trainable, auxiliary heads included",
           "record.model.parameters"),
    Column("flops_per_image", "number", FIGURE, "of a training step for one image",
           "record.model.flops_per_image"),
    Column("device", "text", FACTOR, "the GPU's own name, or the processor's for cpu:N",
           values.device),
    Column("verified", "flag", FACTOR, "whether the device's own name agrees with the label",
           "record.hardware.verified"),
    Column("compute_capability", "text", BOOKKEEPING, "of the GPU",
           "record.hardware.compute_capability"),
    Column("mig", "flag", FACTOR, "whether it is a slice of a GPU", "record.hardware.mig"),
    Column("mps", "flag", FACTOR, "whether a multi-process service shares it",
           "record.hardware.mps"),
    Column("dataset_fingerprint", "text", FACTOR, "hash of the images and labels that were used",
           "record.dataset.fingerprint"),
    Column("dataset_origin", "text", FACTOR, "raybench, or the distribution that added the dataset",
           "record.dataset.origin"),
    Column("model_origin", "text", FACTOR, "likewise of the model, or a callable's module",
           "record.model.origin"),
    Column("hostname", "text", CONTEXT, "of the node", "record.environment.hostname"),
    Column("torch", "text", FACTOR, "version", "record.environment.torch"),
    Column("torchvision", "text", FACTOR, "version", "record.environment.torchvision"),
    Column("cuda", "text", FACTOR, "version that torch was built with", "record.environment.cuda"),
    Column("cudnn", "text", FACTOR, "version", "record.environment.cudnn"),
    Column("driver", "text", CONTEXT, "version", "record.environment.driver"),
    Column("python", "text", CONTEXT, "version", "record.environment.python"),
    Column("raybench", "text", FACTOR, "version", "record.environment.raybench"),
    Column("cpu", "text", CONTEXT, "model of the node's processor", "record.environment.cpu"),
    Column("threads", "count", BOOKKEEPING, "that torch used", "record.environment.threads"),
    Column("flags", "text", FACTOR, "torch's switches, bar the numbers of threads, as JSON",
           values.flags),
    Column("variables", "text", FACTOR,
           "environment variables that switch how torch computes, as JSON", values.variables),
)
# fmt: on
"""Every column, by its name."""

FACTORS = tuple(column.name for column in COLUMNS.values() if column.role is Role.FACTOR)
"""Columns in which two results have to agree before one may be divided by the other; what
``--allow-mismatch`` takes."""

SPEC_FACTORS = tuple(name for name in FACTORS if name in TrialSpec.model_fields)
"""Those that were asked for; the others were found."""

CONTEXTS = tuple(column.name for column in COLUMNS.values() if column.role is Role.CONTEXT)
"""Columns whose differences are listed beside those of ``FACTORS``."""
