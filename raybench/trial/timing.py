"""The timed region: an epoch of training, an epoch of evaluation, and nothing around them.

Inside it nothing prints, logs, writes, reports, or reads a value back from the device. What a
step adds to the bare loop: one mark of the clock, one addition on the device, one to a counter.
"""

from __future__ import annotations

from collections.abc import MutableSequence

import torch

from raybench.trial.input import InputPipeline
from raybench.trial.measure.clock import EpochClock
from raybench.trial.trainer import Trainer


def train_epoch(
    trainer: Trainer,
    pipeline: InputPipeline,
    clock: EpochClock,
    *,
    number: int,
    progress: MutableSequence[int],
) -> tuple[float, float]:
    """Train one epoch; return its seconds and the sum of its images' losses.

    Args:
        trainer: the model and its optimizer.
        pipeline: the training images.
        clock: has the steps' times afterwards.
        number: of the epoch; the order of the images follows from it.
        progress: [0] grows by each step's images.
    """
    trainer.model.train()
    loss_sum = torch.zeros((), device=trainer.device)
    clock.start(pipeline.steps)
    for raw in pipeline.batches(number):
        images, labels = pipeline.preprocess(pipeline.transfer(raw))
        count = len(labels)
        loss_sum.add_(trainer.step(images, labels), alpha=count)
        progress[0] += count
        clock.step_done()
    return clock.stop_s(), loss_sum.item()


def evaluate_epoch(
    trainer: Trainer,
    pipeline: InputPipeline,
    clock: EpochClock,
    *,
    progress: MutableSequence[int],
) -> tuple[float, float, int]:
    """Evaluate; return the seconds, the sum of the images' losses, the correct answers."""
    trainer.model.eval()
    loss_sum = torch.zeros((), device=trainer.device)
    correct = torch.zeros((), device=trainer.device, dtype=torch.int64)
    clock.start(pipeline.steps)
    for raw in pipeline.batches(0):
        images, labels = pipeline.preprocess(pipeline.transfer(raw))
        loss, right = trainer.evaluate(images, labels)
        loss_sum.add_(loss)
        correct.add_(right)
        progress[0] += len(labels)
        clock.step_done()
    return clock.stop_s(), loss_sum.item(), int(correct.item())
