"""What is known of one trial: a versioned JSON document.

Every figure that could not be had is ``null``, and ``missing`` says why, by its dotted name;
nothing is ever 0, or a guess, for want of a measurement.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from raybench.errors import RecordError, SpecError
from raybench.spec import Execution, MemoryFormat, Precision, TrialSpec

SCHEMA_VERSION = 2

Status = Literal["completed", "failed", "interrupted"]


def _to_version_2(record: dict[str, Any]) -> dict[str, Any]:
    """Before there were tune-ups."""
    missing = {**record.get("missing", {}), "tune_up": NOTHING_TO_TUNE}
    return {**record, "schema_version": 2, "missing": missing}


NOTHING_TO_TUNE = "the spec names the execution and the batch size"

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _to_version_2}
"""From version n to n + 1, for each n below ``SCHEMA_VERSION``; reading applies them in turn."""


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class ErrorFacts(_Part):
    """Why a trial did not complete."""

    kind: str
    """one word: diverged, out_of_memory, killed, hung, hardware, data, interrupted, …"""
    message: str
    """what happened and what to do, for a person"""
    traceback: str | None
    """where in the code, if the trial's process could still tell"""


class WarningFacts(_Part):
    """Something that a reader of the figures has to know."""

    kind: str
    """one word: no_learning, unverified_hardware, contended, busy_host, throttled, …"""
    message: str
    """what was seen, for a person"""


class Settings(_Part):
    """How a training step is executed, and on how many images."""

    precision: Precision
    """fp32, tf32, bf16 or fp16"""
    memory_format: MemoryFormat
    """contiguous or channels_last"""
    execution: Execution
    """eager, compile or cudagraph"""
    fused_optimizer: bool
    """whether one kernel updates all weights"""
    batch_size: int
    """images a step"""

    @property
    def title(self) -> str:
        """``bf16, channels_last, eager, batch 10``."""
        parts: list[str] = [self.precision, self.memory_format, self.execution]
        parts += ["fused optimizer"] if self.fused_optimizer else []
        return ", ".join([*parts, f"batch {self.batch_size}"])


class Attempt(_Part):
    """Settings that a tune-up tried on one batch that was on the device."""

    settings: Settings
    """what was tried"""
    images_per_s: float | None
    """median of a few steps; null if it could not run"""
    first_loss: float | None
    """of the first step from the trial's initial weights"""
    loss_fall: float | None
    """first loss minus that of the eighth step on the same batch"""
    outcome: str
    """chosen, slower, losses differ, fits, does not fit, or why it failed"""


class TuneUp(_Part):
    """What a spec left open, and how it was decided."""

    chosen: Settings
    """what the trial was then executed with"""
    reason: str
    """why, for a person"""
    attempts: tuple[Attempt, ...]
    """all that was tried, in order"""
    time_s: float
    """seconds that it took, once for all trials that differ in repeat and seed alone"""
    hostname: str
    """where it was done"""


class Epoch(_Part):
    """One epoch: training, then evaluation."""

    epoch: int = Field(ge=1)
    """number of the epoch, from 1"""
    train_time_s: float = Field(gt=0)
    """seconds of training, from device synchronised to device synchronised"""
    eval_time_s: float = Field(gt=0)
    """seconds of evaluation, likewise"""
    train_images: int = Field(gt=0)
    """images trained on"""
    eval_images: int = Field(gt=0)
    """images evaluated"""
    train_loss: float
    """mean over the training images, auxiliary heads included"""
    eval_loss: float
    """mean over the evaluation images"""
    accuracy: float = Field(ge=0, le=1)
    """fraction of the evaluation images classified correctly, 0 to 1"""


class Quartiles(_Part):
    """Lower quartile, median and upper quartile."""

    p25: float
    """lower quartile"""
    p50: float
    """median"""
    p75: float
    """upper quartile"""


class StepTimes(_Part):
    """Times of the timed training steps of all epochs, in milliseconds."""

    p05: float
    """5th percentile"""
    p25: float
    """lower quartile"""
    p50: float
    """median"""
    p75: float
    """upper quartile"""
    p95: float
    """95th percentile"""
    count: int
    """number of steps; each one stands in steps/<trial_id>.npz"""


class Phases(_Part):
    """Parts of a training step in milliseconds, from a short pass after the timed epochs."""

    data_wait: Quartiles | None
    """waiting for the input pipeline to hand over a batch"""
    transfer: Quartiles | None
    """copying the batch to the device"""
    preprocess: Quartiles | None
    """resizing and normalising on the device"""
    forward: Quartiles | None
    """the model and the loss"""
    backward: Quartiles | None
    """the gradients"""
    optimizer: Quartiles | None
    """the update of the weights"""


class Memory(_Part):
    """Peak memory of the trial, without the pass that looks where the time goes."""

    peak_allocated_bytes: int | None
    """of the device, in tensors, during the timed epochs"""
    peak_reserved_bytes: int | None
    """of the device, held by torch's allocator, during the timed epochs"""
    peak_host_bytes: int | None
    """of the host, by the trial's process from its start to the end of the timed epochs"""


class Range(_Part):
    """Mean and extremes of a sampled figure."""

    mean: float
    """mean over the samples"""
    min: float
    """smallest sample"""
    max: float
    """largest sample"""


class DeviceTelemetry(_Part):
    """The device as NVML saw it during the timed epochs, sampled at 10 Hz or more."""

    energy_j: float | None
    """joules of the timed epochs"""
    energy_method: Literal["counter", "integrated_power"] | None
    """the hardware's own energy counter, or the integral of the sampled power"""
    power_w: Range | None
    """power drawn"""
    utilization: Range | None
    """fraction of time in which a kernel was running, 0 to 1"""
    sm_clock_mhz: Range | None
    """clock of the multiprocessors"""
    memory_clock_mhz: Range | None
    """clock of the memory"""
    temperature_c: Range | None
    """of the GPU"""
    throttle_reasons: tuple[str, ...] | None
    """each reason seen at least once for which the clocks were held down"""
    samples: int
    """number of samples"""


class Contention(_Part):
    """What else ran on the host."""

    co_located_trials: int | None
    """the most trials of raybench that were seen running beside this one on its host"""
    load_average: float | None
    """the host's load average over the last minute, at the end of the timed epochs"""


class DatasetFacts(_Part):
    """The images that were used."""

    name: str
    """as in the spec"""
    fingerprint: str
    """hash of the images and labels that were used, after the limits"""
    train_images: int
    """training images, after train_limit"""
    eval_images: int
    """evaluation images, after eval_limit"""


class ModelFacts(_Part):
    """The model that was trained."""

    name: str
    """as in the spec"""
    parameters: int
    """trainable parameters, auxiliary heads included"""
    flops_per_image: float | None
    """operations of a training step (forward, backward) for one image; multiply and add are two"""
    aux_loss_weight: float | None
    """weight of the auxiliary heads' losses; null for a model without heads"""


class HardwareFacts(_Part):
    """The hardware that was promised, and what was found."""

    requested: str
    """the label in the spec"""
    detected: str | None
    """the device's own name"""
    verified: bool
    """whether the device's own name agrees with the label"""
    compute_capability: str | None
    """of the GPU, such as 6.0"""
    memory_bytes: int | None = None
    """of the GPU"""
    uuid: str | None = None
    """of the GPU"""
    mig: bool | None = None
    """whether it is a slice of a GPU (multi-instance GPU)"""
    mps: bool | None = None
    """whether a multi-process service shares it"""


class EnvironmentFacts(_Part):
    """Where the trial ran, and with which software."""

    hostname: str
    """of the host"""
    torch: str
    """version, with its build"""
    torch_commit: str | None
    """commit that torch was built from"""
    torchvision: str
    """version"""
    cuda: str | None
    """version that torch was built with"""
    cudnn: str | None
    """version that torch uses"""
    driver: str | None
    """version of NVIDIA's driver"""
    ray: str | None
    """version"""
    python: str
    """version"""
    raybench: str
    """version"""
    commit: str | None
    """of raybench's checkout, with + where it had changes"""
    os: str
    """kernel's name and release"""
    cpu: str | None
    """model of the processor"""
    cpu_count: int
    """processors of the host"""
    allowed_cpus: int
    """processors that the process might use: its affinity and its cgroup's quota"""
    host_memory_bytes: int
    """memory of the host"""
    threads: int
    """threads that torch used"""
    affinity: tuple[int, ...]
    """processors that the process was allowed to run on"""
    slurm: dict[str, str] | None
    """job, partition, nodes and GRES, under Slurm"""
    flags: dict[str, JsonValue]
    """torch's switches that change speed or results, as they were during the timed epochs"""
    variables: dict[str, str]
    """environment variables that change speed or results"""


class Segment(_Part):
    """A stretch of epochs that one process ran."""

    hostname: str
    """where"""
    started_at: str
    """when, UTC, ISO 8601"""
    first_epoch: int
    """number of its first epoch, from 1"""
    last_epoch: int
    """number of its last complete epoch; 0 if none was completed"""


class TrialRecord(_Part):
    """One trial: what was asked for, what was measured, where and with what."""

    schema_version: Literal[2] = 2
    """version of this layout"""
    trial_id: str
    """readable name and hash of the spec; also the name of the record's file"""
    experiment: str
    """name of the experiment, and of its folder"""
    started_at: str
    """when, UTC, ISO 8601"""
    spec: TrialSpec
    """what was asked for"""
    status: Status
    """completed, failed or interrupted"""
    error: ErrorFacts | None = None
    """why it did not complete"""
    warnings: tuple[WarningFacts, ...] = ()
    """what a reader of the figures has to know"""
    running_time_s: float | None = None
    """sum of all epochs' training and evaluation seconds, the "Time(s)" of Li (2022)"""
    tune_up: TuneUp | None = None
    """how what the spec left open (execution best, batch_size largest) was decided"""
    setup_time_s: float | None = None
    """seconds for data, model and device before the warm-up"""
    warmup_time_s: float | None = None
    """seconds of the warm-up, compilation and capture included"""
    epochs: tuple[Epoch, ...] = ()
    """each complete epoch"""
    images_per_s: float | None = None
    """end to end: training images over training seconds, of all epochs together"""
    compute_only_images_per_s: float | None = None
    """the same training step on one batch that is already on the device"""
    step_ms: StepTimes | None = None
    """times of the timed training steps"""
    phases_ms: Phases | None = None
    """where a training step's time goes"""
    memory: Memory | None = None
    """peak memory"""
    device_telemetry: DeviceTelemetry | None = None
    """power, clocks and temperature"""
    mfu: float | None = None
    """model FLOPs of the timed training over the datasheet's peak for that precision, 0 to 1"""
    contention: Contention | None = None
    """what else ran on the host"""
    dataset: DatasetFacts | None = None
    """the images"""
    model: ModelFacts | None = None
    """the model"""
    hardware: HardwareFacts | None = None
    """promised and found"""
    environment: EnvironmentFacts | None = None
    """host and software"""
    segments: tuple[Segment, ...] = ()
    """which process ran which epochs"""
    missing: dict[str, str] = {}
    """why a figure is null, by its dotted name; a name covers all that is below it"""

    @property
    def executed(self) -> TrialSpec:
        """The spec with what was left open decided; the spec itself if nothing was."""
        if self.tune_up is None:
            return self.spec
        return self.spec.decided(**self.tune_up.chosen.model_dump())

    def unexplained(self) -> list[str]:
        """Return the dotted names of figures that are null without a reason in ``missing``."""
        nulls = _nulls(self.model_dump(mode="json", exclude={"spec", "error", "missing"}))
        return [name for name in nulls if not _covered(name, self.missing)]

    def with_reason(self, reason: str) -> TrialRecord:
        """Return the record with ``reason`` for every null that has none yet."""
        reasons = dict.fromkeys(self.unexplained(), reason)
        return self.model_copy(update={"missing": {**self.missing, **reasons}})


def _nulls(value: Any, name: str = "") -> Iterator[str]:
    if value is None:
        yield name
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _nulls(inner, f"{name}.{key}" if name else key)


def _covered(name: str, reasons: dict[str, str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in reasons for end in range(1, len(parts) + 1))


def read_record(text: str | bytes, where: str) -> TrialRecord:
    """Read a record of this or an older version.

    Args:
        text: the JSON document.
        where: the file's name, for the error.

    Raises:
        RecordError: it is no record, is damaged, or is of a newer version.
    """
    with contextlib.suppress(ValidationError, SpecError, RecursionError):
        record = TrialRecord.model_validate_json(text)
        if "schema_version" in record.model_fields_set:
            return record
    # Once more in steps, to upgrade it or to say what is wrong.
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{where}: not valid JSON, perhaps cut short ({error})",
            cure="delete the file and run the same command again: it measures what is not complete",
        ) from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        raise RecordError(f"{where}: not a raybench record (it has no schema_version)")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{where}: a record of version {version}, this raybench reads up to {SCHEMA_VERSION}",
            cure="read it with a newer raybench",
        )
    for old in range(version, SCHEMA_VERSION):
        content = UPGRADES[old](content)
    try:
        return TrialRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{where}: not a valid record: {field}: {first['msg']}") from None
    except SpecError as error:
        raise RecordError(f"{where}: not a valid record: {error.what}") from None
