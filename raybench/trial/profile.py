"""Where a training step's time goes: a few more steps, phase by phase, after the timed epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from raybench.record.noted import Missing, Noted, noted
from raybench.record.schema import Phases, Quartiles
from raybench.trial.input.pipeline import Raw
from raybench.trial.measure.clock import EpochClock, PhaseClock
from raybench.trial.setup import Setup
from raybench.trial.warmup import kept

PROFILE_S = 1.0
"""Seconds after which each of the two passes ends, once it has a few steps."""

PROFILE_STEPS = (5, 50)
"""Fewest and most steps of each."""

INPUT_PHASES = ("data_wait", "transfer", "preprocess")
STEP_PHASES = ("forward", "backward", "optimizer")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where the time goes.

    Attributes:
        phases_ms: of a step, each ended by synchronising the device.
        compute_only_images_per_s: of the same step on a batch that is already on the device.
    """

    phases_ms: Noted[Phases] | Missing
    compute_only_images_per_s: float


def profile(setup: Setup) -> Profile:
    """Time the phases of a few more steps, then the same step on one resident batch."""
    setup.trainer.model.train()
    raws = setup.train_input.batches(setup.spec.epochs + 1)
    raw = next(raws)  # starting the pipeline is no step's wait
    batch = kept(setup.train_input.preprocess(setup.train_input.transfer(raw)))
    return Profile(
        phases_ms=_phases(setup, raws),
        compute_only_images_per_s=_compute_only_images_per_s(setup, *batch),
    )


def _phases(setup: Setup, raws: Iterator[Raw]) -> Noted[Phases] | Missing:
    clock = PhaseClock(setup.machine.timeline)
    started_s = time.perf_counter()
    for count in range(min(PROFILE_STEPS[1], setup.train_input.steps - 1)):
        if count >= PROFILE_STEPS[0] and time.perf_counter() - started_s > PROFILE_S:
            break
        _profile_step(setup, raws, clock)
    samples_ms = clock.samples_ms()
    if not samples_ms:
        return Missing("an epoch of one step leaves none to profile")
    captured = Missing("the captured step runs as one")
    quartiles = {name: _quartiles(values) for name, values in samples_ms.items()}
    return noted(
        Phases,
        **{name: quartiles[name] for name in INPUT_PHASES},
        **{name: quartiles.get(name, captured) for name in STEP_PHASES},
    )


def _profile_step(setup: Setup, raws: Iterator[Raw], clock: PhaseClock) -> None:
    pipeline, trainer = setup.train_input, setup.trainer
    clock.start()
    raw = next(raws)
    clock.done("data_wait")
    raw = pipeline.transfer(raw)
    clock.done("transfer")
    images, labels = pipeline.preprocess(raw)
    clock.done("preprocess")
    if setup.spec.execution == "cudagraph":
        trainer.step(images, labels)
        return
    loss = trainer.forward(images, labels)
    clock.done("forward")
    trainer.backward(loss)
    clock.done("backward")
    trainer.update()
    clock.done("optimizer")


def _quartiles(values: list[float]) -> Quartiles:
    p25, p50, p75 = np.percentile(values, [25, 50, 75]).tolist()
    return Quartiles(p25=p25, p50=p50, p75=p75)


def _compute_only_images_per_s(setup: Setup, images: Tensor, labels: Tensor) -> float:
    clock = EpochClock(setup.machine.timeline)
    step = setup.trainer.step
    step(images, labels)
    clock.start(PROFILE_STEPS[1])
    started_s = time.perf_counter()
    steps = 0
    while steps < PROFILE_STEPS[1]:
        step(images, labels)
        clock.step_done()
        steps += 1
        if steps >= PROFILE_STEPS[0] and time.perf_counter() - started_s > PROFILE_S:
            break
    return steps * len(labels) / clock.stop_s()
