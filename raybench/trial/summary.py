"""Figures that cannot be true fail the trial by name, rather than be reported."""

from __future__ import annotations

import math

from raybench.errors import TrialFailed
from raybench.record.schema import TrialRecord


def check(record: TrialRecord) -> None:
    """Refuse a completed record whose figures contradict each other or physics.

    Accuracies outside 0 to 1, losses that are not finite and epochs of 0 s cannot even be built:
    the record's own types refuse them.

    Raises:
        TrialFailed: of kind ``impossible``, naming the figure.
    """
    dataset = record.dataset
    if dataset is None or len(record.epochs) != record.spec.epochs:
        raise _impossible(f"{len(record.epochs)} epochs of {record.spec.epochs} were recorded")
    for epoch in record.epochs:
        seen = (epoch.train_images, epoch.eval_images)
        if seen != (dataset.train_images, dataset.eval_images):
            raise _impossible(
                f"epoch {epoch.epoch} saw {seen[0]} and {seen[1]} images, the dataset has "
                f"{dataset.train_images} and {dataset.eval_images}"
            )
    steps = record.step_ms
    executed = record.executed
    if executed is None:
        raise _impossible("nothing says how a step was executed")
    expected = record.spec.epochs * math.ceil(dataset.train_images / executed.batch_size)
    if steps is None or steps.count != expected:
        raise _impossible(f"{steps.count if steps else 0} steps were timed of {expected}")
    if record.mfu is not None and record.mfu > 1:
        raise _impossible(
            f"the model's FLOPs at {record.images_per_s:.0f} images/s are {record.mfu:.2f} times "
            f"the peak of {record.spec.hardware} in {executed.precision}"
        )


def learned(best_accuracy: float, chance: float, images: int) -> bool:
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


def _impossible(what: str) -> TrialFailed:
    return TrialFailed(
        "impossible",
        f"the figures cannot be true: {what}",
        hint="keep the record and report it; do not use its figures",
    )
