"""Whether the figures of a record agree with one another."""

from __future__ import annotations

import math

from raybench.record.schema import TrialRecord


def contradiction(record: TrialRecord) -> str | None:
    """Say which figures of a completed record contradict each other; None if none do.

    Accuracies outside 0 to 1, losses that are not finite and epochs of 0 s cannot even be built:
    the record's own types refuse them.
    """
    if record.epochs and len(record.epochs) != record.spec.epochs:
        return f"{len(record.epochs)} epochs of {record.spec.epochs} were recorded"
    dataset = record.dataset
    for epoch in record.epochs:
        seen = (epoch.train_images, epoch.eval_images)
        if dataset is not None and seen != (dataset.train_images, dataset.eval_images):
            return (
                f"epoch {epoch.epoch} saw {seen[0]} and {seen[1]} images, the dataset has "
                f"{dataset.train_images} and {dataset.eval_images}"
            )
    total_s = math.fsum(epoch.train_time_s + epoch.eval_time_s for epoch in record.epochs)
    running_time_s = record.running_time_s
    if running_time_s is not None and not math.isclose(running_time_s, total_s, rel_tol=1e-6):
        return f"the running time is {running_time_s} s, the epochs add up to {total_s} s"
    return None
