"""The figures of a trial, made from its epochs; those that cannot be true fail it by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raybench.catalog.hardware import GPUS
from raybench.errors import TrialFailed
from raybench.record.noted import Missing
from raybench.record.plausible import contradiction
from raybench.record.schema import Epoch, StepTimes, TrialRecord, WarningFacts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from raybench.record.noted import Noted
    from raybench.record.schema import ModelFacts
    from raybench.trial.setup import Setup


@dataclass
class Epochs:
    """The timed epochs so far.

    Attributes:
        complete: each complete epoch.
        steps_ms: times of its training steps [steps], an array an epoch.
    """

    complete: list[Epoch] = field(default_factory=list)
    steps_ms: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(self, epoch: Epoch, steps_ms: npt.NDArray[np.float64]) -> None:
        """Add the next epoch, with the times of its training steps [steps]."""
        self.complete.append(epoch)
        self.steps_ms.append(steps_ms)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What follows from the epochs; times are summed, rates never averaged.

    Attributes:
        running_time_s: of training and evaluation, all epochs.
        images_per_s: training images over training seconds, of all epochs together.
        step_ms: percentiles of the training steps' times.
        mfu: model FLOPs over the datasheet's peak, 0 to 1.
        warnings: what a reader of the figures has to know.
    """

    running_time_s: float
    images_per_s: float
    step_ms: StepTimes
    mfu: float | Missing
    warnings: tuple[WarningFacts, ...]


def summarise(epochs: Epochs, setup: Setup, model: Noted[ModelFacts]) -> Summary:
    """Return the figures of a trial whose epochs are all complete."""
    train_s = sum(epoch.train_time_s for epoch in epochs.complete)
    images_per_s = sum(epoch.train_images for epoch in epochs.complete) / train_s
    return Summary(
        running_time_s=train_s + sum(epoch.eval_time_s for epoch in epochs.complete),
        images_per_s=images_per_s,
        step_ms=_step_times(epochs),
        mfu=_mfu(images_per_s, setup, model),
        warnings=_no_learning(epochs, setup.chance),
    )


def _step_times(epochs: Epochs) -> StepTimes:
    import numpy as np  # noqa: PLC0415 - whoever asks for a trial's process needs no numpy

    steps = np.concatenate(epochs.steps_ms)
    p05, p25, p50, p75, p95 = np.percentile(steps, [5, 25, 50, 75, 95]).tolist()
    return StepTimes(p05=p05, p25=p25, p50=p50, p75=p75, p95=p95, count=len(steps))


def _mfu(images_per_s: float, setup: Setup, model: Noted[ModelFacts]) -> float | Missing:
    if model.part.flops_per_image is None:
        return Missing(model.reasons["flops_per_image"])
    if setup.machine.device.type != "cuda":
        return Missing("measured on a CPU, for which no datasheet peak is known")
    spec, gpu = setup.spec, GPUS.get(setup.spec.hardware)
    device_name = setup.machine.hardware.part.detected
    peak = gpu.datasheet(device_name).peak_tflops(spec.precision) if gpu else None
    if peak is None:
        return Missing(f"the datasheet of {spec.hardware} gives no peak for {spec.precision}")
    return model.part.flops_per_image * images_per_s / (peak * 1e12)


def _no_learning(epochs: Epochs, chance: float) -> tuple[WarningFacts, ...]:
    best = max(epoch.accuracy for epoch in epochs.complete)
    if above_chance(best, chance, epochs.complete[-1].eval_images):
        return ()
    message = (
        f"the best accuracy of {best:.4f} is not above {chance:.4f}, "
        "which naming always the same class would reach"
    )
    return (WarningFacts(kind="no_learning", message=message),)


def above_chance(best_accuracy: float, chance: float, images: int) -> bool:
    """Whether an accuracy is above what naming the most frequent class would reach.

    Args:
        best_accuracy: the best of all epochs, 0 to 1.
        chance: share of the most frequent class among the evaluation images.
        images: number of evaluation images.

    Returns:
        True if it is above by more than 3.09 standard errors of a binomial share (one-sided
        0.1 %, by the normal approximation).
    """
    return best_accuracy > chance + 3.09 * math.sqrt(chance * (1 - chance) / images)


def check_plausible(record: TrialRecord) -> TrialRecord:
    """Return a completed record, unless its figures contradict each other or physics.

    Raises:
        TrialFailed: of kind ``impossible``, naming the figure.
    """
    what = contradiction(record) or _impossible(record)
    if what is not None:
        raise TrialFailed(
            "impossible",
            f"the figures cannot be true: {what}",
            hint="keep the record and report it; do not use its figures",
        )
    return record


def _impossible(record: TrialRecord) -> str | None:
    dataset, executed, steps = record.dataset, record.executed, record.step_ms
    if dataset is None or executed is None or not record.epochs:
        return f"{len(record.epochs)} epochs of {record.spec.epochs} were recorded"
    expected = executed.epochs * math.ceil(dataset.train_images / executed.batch_size)
    if steps is None or steps.count != expected:
        return f"{steps.count if steps else 0} steps were timed of {expected}"
    if record.mfu is not None and record.mfu > 1:
        return (
            f"the model's FLOPs at {record.images_per_s:.0f} images/s are {record.mfu:.2f} times "
            f"the peak of {record.spec.hardware} in {executed.precision}"
        )
    return None
