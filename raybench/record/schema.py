"""What is known of one trial: a versioned JSON document.

Every figure that could not be had is ``null``, and ``missing`` says why, by its dotted name;
nothing is ever 0, or a guess, for want of a measurement.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from raybench.record.autotune import Autotune
from raybench.record.noted import is_covered, nulls
from raybench.spec.identity import since_of
from raybench.spec.trial import AS_MEASURED, ResolvedSpec, TrialSpec
from raybench.system.facts import Contention, EnvironmentFacts, HardwareFacts, _Part

LAYOUT_VERSION = 3
"""Raised, with a function in ``upgrades``, when the layout of a record changes."""

_LATER = filter(None, map(since_of, TrialSpec.model_fields.values()))
SCHEMA_VERSION = max([LAYOUT_VERSION, *(since.version for since in _LATER)])
"""The version of the records that are written: the layout's, or that of the spec's newest field."""

_THIS = Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION, json_schema_extra={"const": SCHEMA_VERSION})
Status = Literal["completed", "failed", "interrupted"]


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
    """one word: no_learning, unverified_hardware, contended, busy_node, throttled, …"""
    message: str
    """what was seen, for a person"""


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
    """Peak memory of the trial, without the profiling pass."""

    peak_allocated_bytes: int | None
    """of the device, in tensors, during the timed epochs"""
    peak_reserved_bytes: int | None
    """of the device, held by torch's allocator, during the timed epochs"""
    peak_host_bytes: int | None
    """on the host, by the trial's process from its start to the end of the timed epochs"""


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
    origin: str = "raybench"
    """where its definition comes from: raybench, or the distribution and version of a plug-in"""


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
    origin: str = "raybench"
    """likewise, or the module of a callable"""


class Segment(_Part):
    """A stretch of epochs that one process ran."""

    hostname: str | None
    """where; null for a trial of an older version that ended before it was noted"""
    started_at: str
    """when, UTC, ISO 8601"""
    first_epoch: int
    """number of its first epoch, from 1"""
    last_epoch: int
    """number of its last complete epoch; 0 if none was completed"""
    hardware: HardwareFacts | None = None
    """promised and found"""
    environment: EnvironmentFacts | None = None
    """node and software"""
    contention: Contention | None = None
    """what else ran on the node"""


class TrialRecord(_Part):
    """One trial: what was asked for, what was measured, where and with what."""

    schema_version: Annotated[int, _THIS] = SCHEMA_VERSION
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
    autotune: Autotune | None = None
    """how what the spec left open (execution best, batch_size largest) was resolved"""
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
    dataset: DatasetFacts | None = None
    """the images"""
    model: ModelFacts | None = None
    """the model"""
    segments: tuple[Segment, ...] = ()
    """which process ran which epochs, where and with what"""
    missing: dict[str, str] = Field(default_factory=dict)
    """why a figure is null, by its dotted name; a name covers all that is below it"""
    checksum: str | None = None
    """of the file's other content, against accidents; null in a record that was read and fits"""

    @property
    def hardware(self) -> HardwareFacts | None:
        """Promised and found, in the first segment; None if the trial ended before that."""
        return self.segments[0].hardware if self.segments else None

    @property
    def environment(self) -> EnvironmentFacts | None:
        """Node and software of the first segment; None if the trial ended before that."""
        return self.segments[0].environment if self.segments else None

    @property
    def contention(self) -> Contention | None:
        """What else ran on the node of the first segment; None if that was not seen."""
        return self.segments[0].contention if self.segments else None

    @property
    def executed(self) -> ResolvedSpec | None:
        """The spec with what autotuning chose; None if the trial ended before it was resolved."""
        if self.autotune is None and not self.spec.is_resolved:
            return None
        chosen = self.autotune.chosen.model_dump() if self.autotune else {}
        fields = {**self.spec.model_dump(), **chosen}
        return ResolvedSpec.model_validate(fields, context=AS_MEASURED)

    def unexplained(self) -> list[str]:
        """Return the dotted names of figures that are null without a reason in ``missing``."""
        # A figure that the record's file does not name came after the raybench that wrote it.
        others = {"spec", "error", "missing", "epochs", "checksum"}
        content = self.model_dump(mode="json", exclude=others, exclude_unset=True)
        covered = {**self.missing, "autotune.candidates": "their outcome says why"}
        return [name for name in nulls(content) if not is_covered(name, covered)]

    def with_reason(self, reason: str) -> TrialRecord:
        """Return the record with ``reason`` for every null that has none yet."""
        reasons = dict.fromkeys(self.unexplained(), reason)
        return self.model_copy(update={"missing": {**self.missing, **reasons}})
