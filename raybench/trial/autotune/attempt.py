"""One candidate of an autotune, tried in a process of its own."""

from __future__ import annotations

import math
import resource
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from raybench.catalog.datasets import load_dataset
from raybench.settings import Workspace
from raybench.spec.trial import ResolvedSpec
from raybench.trial.input import make_input
from raybench.trial.measure.clock import EpochClock, timeline_of
from raybench.trial.trainer import Trainer, device_of, is_out_of_memory, set_switches

AGREEMENT_STEPS = 8
"""Training steps from the initial weights whose losses are compared."""

TIMED_S = 2.0
"""Seconds after which an attempt has seen enough steps, once they are a few."""
TIMED_STEPS = (5, 50)
"""Fewest and most timed steps of an attempt."""

HEADROOM = 0.95
"""Share of a GPU's memory that the largest batch may fill: allocators fragment over an epoch."""

HOST_SHARE = 0.5
"""Share of the host's free memory that the largest batch may fill on cpu:N."""

FIRST_LOSS_TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 1e-2, "fp16": 1e-2}
"""How far the first step's loss may be from that of fp32, contiguous, eager; relative.

Seen on a CPU for ResNet-18 and GoogLeNet, batch 10, 64 and 224 pixels: 1e-5 for another memory
format, 3e-3 for bf16, which rounds to 8 bits.
"""

FALL_TOLERANCE = 0.5
"""How far the loss's fall over the steps may be from that of fp32, contiguous, eager; relative.

Wide, because batch normalisation over ten images doubles any difference from step to step: another
memory format alone was seen to change the sixth loss by 15 %. A step that does not train is off
by 1.
"""

FITS, OUT_OF_MEMORY = "fits", "out of memory"


@dataclass(frozen=True, kw_only=True)
class StepMeasurement:
    """What an attempt at step settings gave.

    Attributes:
        images_per_s: of the median step.
        first_loss: of the first step from the initial weights.
        loss_fall: first loss minus that of the last of ``AGREEMENT_STEPS`` on the same batch.
    """

    images_per_s: float
    first_loss: float
    loss_fall: float

    def agrees_with(self, plain: StepMeasurement, precision: str) -> bool:
        """Whether the losses are those of the plain way, within the rounding of a precision."""
        first = abs(self.first_loss - plain.first_loss)
        fall = abs(self.loss_fall - plain.loss_fall)
        return first <= FIRST_LOSS_TOLERANCE[precision] * abs(plain.first_loss) and (
            fall <= FALL_TOLERANCE * abs(plain.loss_fall)
        )


def finite(value: float) -> float | None:
    """Return a loss as a record holds it: null if it is infinite, or not a number."""
    return value if math.isfinite(value) else None


def try_settings(spec: ResolvedSpec, workspace: Workspace) -> StepMeasurement:
    """Train a few steps from the initial weights, then time some more, on one batch."""
    trainer, images, labels = _prepare(spec, workspace)
    # Its random masks would hide whether losses agree, and its time is not worth measuring.
    for module in trainer.model.modules():
        if isinstance(module, (nn.modules.dropout._DropoutNd, StochasticDepth)):
            module.p = 0.0
    trainer.model.train()
    trainer.accelerate(images, labels)
    trainer.step(images, labels)
    trainer.reset()
    losses = [trainer.step(images, labels).clone() for _ in range(AGREEMENT_STEPS)]
    clock = EpochClock(timeline_of(trainer.device))
    clock.start(TIMED_STEPS[1])
    started_s = time.perf_counter()
    for count in range(1, TIMED_STEPS[1] + 1):
        trainer.step(images, labels)
        clock.step_done()
        if count >= TIMED_STEPS[0] and time.perf_counter() - started_s > TIMED_S:
            break
    clock.stop_s()
    step_s = float(np.median(clock.steps_ms())) / 1e3
    first, last = losses[0].item(), losses[-1].item()
    return StepMeasurement(
        images_per_s=len(labels) / step_s, first_loss=first, loss_fall=first - last
    )


def try_batch(spec: ResolvedSpec, workspace: Workspace) -> str | None:
    """Train and evaluate a batch; return None if the memory holds it, or ``OUT_OF_MEMORY``."""
    device = device_of(spec)
    _limit_memory(device)
    try:
        trainer, images, labels = _prepare(spec, workspace)
        trainer.model.train()
        trainer.accelerate(images, labels)
        for _ in range(2):
            trainer.step(images, labels)
        trainer.model.eval()
        trainer.evaluate(images, labels)
        timeline_of(device).synchronize()
    except Exception as error:
        if is_out_of_memory(error):
            return OUT_OF_MEMORY
        raise
    return None


def _limit_memory(device: torch.device) -> None:
    """Keep this process from taking all memory, so that it is refused some and not killed."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(HEADROOM, device)
        return
    allowed = int(psutil.virtual_memory().available * HOST_SHARE)
    limit = psutil.Process().memory_info().data + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    # Should the kernel be faster all the same, it takes this process and no other.
    Path("/proc/self/oom_score_adj").write_text("1000")


def _prepare(spec: ResolvedSpec, workspace: Workspace) -> tuple[Trainer, Tensor, Tensor]:
    """Return a trainer, and the trial's first batch on its device."""
    set_switches(spec)
    device = device_of(spec)
    images = load_dataset(
        spec.dataset, workspace, train_limit=spec.train_limit, eval_limit=spec.eval_limit
    )
    trainer = Trainer(spec, images.num_classes, device)
    alone = spec.model_copy(update={"num_workers": 0})
    with closing(make_input(alone, images.train, device, train=True)) as pipeline:
        raw = next(iter(pipeline.batches(1)))
        batch, labels = pipeline.preprocess(pipeline.transfer(raw))
        return trainer, batch.clone(), labels.clone()
