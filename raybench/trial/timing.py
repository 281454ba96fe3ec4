"""The timed region: an epoch of training, an epoch of evaluation, and nothing around them.

Inside it nothing prints, logs, writes, reports, or reads a value back from the device. What a
step adds to the bare loop: one mark of the clock, one addition on the device, one to a counter.
"""

from __future__ import annotations

import math
import os
from collections.abc import MutableSequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from raybench.errors import TrialFailed
from raybench.record.noted import Missing, Noted, noted
from raybench.record.schema import DeviceTelemetry, Epoch, Memory, WarningFacts
from raybench.record.state import EpochDone, Listener
from raybench.system.facts import Contention
from raybench.system.software import peak_host_bytes
from raybench.trial.input import InputPipeline
from raybench.trial.measure.clock import EpochClock
from raybench.trial.measure.contention import CoLocation
from raybench.trial.measure.power import DeviceSampler
from raybench.trial.setup import Setup
from raybench.trial.summary import Epochs
from raybench.trial.trainer import Trainer


def train_epoch(
    trainer: Trainer,
    pipeline: InputPipeline,
    clock: EpochClock,
    *,
    number: int,
    counter: MutableSequence[int],
) -> tuple[float, float]:
    """Train one epoch; return its seconds and the sum of its images' losses.

    Args:
        trainer: the model and its optimizer.
        pipeline: the training images.
        clock: has the steps' times afterwards.
        number: of the epoch; the order of the images follows from it.
        counter: [0] grows by each step's images.
    """
    trainer.model.train()
    loss_sum = torch.zeros((), device=trainer.device)
    clock.start(pipeline.steps)
    for raw in pipeline.batches(number):
        images, labels = pipeline.preprocess(pipeline.transfer(raw))
        count = len(labels)
        loss_sum.add_(trainer.step(images, labels), alpha=count)
        counter[0] += count
        clock.step_done()
    return clock.stop_s(), loss_sum.item()


def evaluate_epoch(
    trainer: Trainer,
    pipeline: InputPipeline,
    clock: EpochClock,
    *,
    counter: MutableSequence[int],
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
        counter[0] += len(labels)
        clock.step_done()
    return clock.stop_s(), loss_sum.item(), int(correct.item())


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was measured beside the timed epochs.

    Attributes:
        memory: peaks.
        telemetry: power, clocks and temperature.
        contention: what else ran on the node.
        warnings: what a reader of the figures has to know of these.
    """

    memory: Noted[Memory]
    telemetry: Noted[DeviceTelemetry] | Missing
    contention: Noted[Contention]
    warnings: tuple[WarningFacts, ...]


def time_epochs(
    setup: Setup,
    epochs: Epochs,
    listen: Listener,
    counter: MutableSequence[int],
) -> Timing:
    """Run the timed epochs.

    Args:
        setup: warmed up.
        epochs: each epoch is added to it as soon as it is complete.
        listen: is told of each epoch, between the clock's stop and its next start.
        counter: [0] grows by each step's images, for others to read.

    Raises:
        TrialFailed: the loss became infinite, or not a number.
    """
    device = setup.machine.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clock, sampler = EpochClock(setup.machine.timeline), DeviceSampler(device)
    try:
        with CoLocation() as others:
            for number in range(1, setup.spec.epochs + 1):
                with sampler.window():
                    epoch, steps_ms = _run_epoch(setup, clock, number, counter)
                others.sample()
                epochs.add(epoch, steps_ms)
                listen(EpochDone(epoch))
    finally:
        sampler.close()
    load = os.getloadavg()[0]
    contention = noted(Contention, co_located_trials=others.maximum, load_average=load)
    telemetry = sampler.telemetry()
    warnings = _warnings(contention.part, telemetry)
    return Timing(
        memory=_memory(device), telemetry=telemetry, contention=contention, warnings=warnings
    )


def _run_epoch(
    setup: Setup, clock: EpochClock, number: int, counter: MutableSequence[int]
) -> tuple[Epoch, npt.NDArray[np.float64]]:
    """Train and evaluate once; return the epoch, and the times of its training steps [steps]."""
    trainer, train_input, eval_input = setup.trainer, setup.train_input, setup.eval_input
    train_s, train_sum = train_epoch(trainer, train_input, clock, number=number, counter=counter)
    steps_ms = clock.steps_ms()
    eval_s, eval_sum, correct = evaluate_epoch(trainer, eval_input, clock, counter=counter)
    train_loss, eval_loss = train_sum / train_input.images, eval_sum / eval_input.images
    if not (math.isfinite(train_loss) and math.isfinite(eval_loss)):
        raise TrialFailed(
            "diverged",
            f"the loss became {train_loss:g} in training and {eval_loss:g} in evaluation, "
            f"in epoch {number}",
            hint="a smaller learning_rate, or another precision",
        )
    epoch = Epoch(
        epoch=number,
        train_time_s=train_s,
        eval_time_s=eval_s,
        train_images=train_input.images,
        eval_images=eval_input.images,
        train_loss=train_loss,
        eval_loss=eval_loss,
        accuracy=correct / eval_input.images,
    )
    return epoch, steps_ms


def _memory(device: torch.device) -> Noted[Memory]:
    on_cpu = Missing("measured on a CPU, whose memory is the host's")
    on_gpu = device.type == "cuda"
    return noted(
        Memory,
        peak_allocated_bytes=torch.cuda.max_memory_allocated(device) if on_gpu else on_cpu,
        peak_reserved_bytes=torch.cuda.max_memory_reserved(device) if on_gpu else on_cpu,
        peak_host_bytes=peak_host_bytes(),
    )


def _warnings(
    contention: Contention, telemetry: Noted[DeviceTelemetry] | Missing
) -> tuple[WarningFacts, ...]:
    found = []
    load, processors = contention.load_average or 0.0, os.cpu_count() or 1
    if load > processors:
        message = f"the node's load was {load:.1f} on {processors} processor(s)"
        found.append(WarningFacts(kind="busy_node", message=message))
    if contention.co_located_trials:
        message = f"{contention.co_located_trials} other trial(s) ran on the same node meanwhile"
        found.append(WarningFacts(kind="contended", message=message))
    if isinstance(telemetry, Noted) and telemetry.part.throttle_reasons:
        reasons = ", ".join(telemetry.part.throttle_reasons)
        message = f"the clocks were held down meanwhile: {reasons}"
        found.append(WarningFacts(kind="throttled", message=message))
    return tuple(found)
