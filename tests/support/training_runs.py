"""A training that takes a tenth of a second and learns: what an option may not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from raybench.catalog.datasets import load_dataset
from raybench.settings import workspace
from raybench.spec.trial import trial_spec
from raybench.trial.input import make_input
from raybench.trial.measure.clock import EpochClock, HostTimeline
from raybench.trial.timing import evaluate_epoch, train_epoch
from raybench.trial.trainer import Trainer, set_switches

CPU = torch.device("cpu")
EPOCHS = 4

BATCH = 32
"""1437 training images of digits: 44 full batches, and one of 29."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a training went.

    Attributes:
        trainer: the trained one.
        losses: mean training loss of each epoch.
        accuracy: fraction of the evaluation images, after the last epoch.
        noise: two standard errors of that accuracy, by the number of evaluation images alone.
    """

    trainer: Trainer
    losses: list[float]
    accuracy: float
    noise: float


def trained(prepare: Callable[[Trainer], None] = lambda _trainer: None, **fields: Any) -> Run:
    """Train the small model on digits, on the CPU, whatever hardware the spec speaks of."""
    spec = trial_spec(
        {
            "model": "small_models:small", "dataset": "digits", "hardware": "cpu:1",
            "input_pipeline": "device", "image_size": 16, "batch_size": BATCH,
            "learning_rate": 0.1, **fields,
        }
    ).resolved()  # fmt: skip
    set_switches(spec)
    images = load_dataset("digits", workspace(), train_limit=None, eval_limit=None)
    train_input = make_input(spec, images.train, CPU, train=True)
    eval_input = make_input(spec, images.eval, CPU, train=False)
    trainer = Trainer(spec, images.num_classes, CPU)
    trainer.model.train()
    batch = train_input.preprocess(next(train_input.batches(0)))
    trainer.accelerate(*[part.clone() for part in batch])
    trainer.reset()
    prepare(trainer)
    clock, counter = EpochClock(HostTimeline()), [0]
    losses = []
    for number in range(1, EPOCHS + 1):
        _, loss = train_epoch(trainer, train_input, clock, number=number, counter=counter)
        losses.append(loss / train_input.images)
    _, _, correct = evaluate_epoch(trainer, eval_input, clock, counter=counter)
    accuracy = correct / eval_input.images
    noise = 2 * (accuracy * (1 - accuracy) / eval_input.images) ** 0.5
    return Run(trainer=trainer, losses=losses, accuracy=accuracy, noise=noise)


def assert_trained_alike(ours: Run, plain: Run, tolerance: float) -> None:
    """Hold a training with an option against that in fp32, eager and contiguous.

    The losses are compared over the first epoch: 45 updates, in which the loss falls. Later on,
    training itself makes much of the smallest difference, as another seed would (20 % in the
    fourth epoch); then the accuracy has to agree, within its noise.
    """
    assert plain.losses[-1] < 0.2 * plain.losses[0]
    assert abs(ours.losses[0] / plain.losses[0] - 1) <= tolerance
    assert abs(ours.accuracy - plain.accuracy) <= plain.noise
