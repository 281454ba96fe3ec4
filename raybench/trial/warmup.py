"""Untimed steps of every shape that the timed epochs hold; then they are undone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from raybench.catalog.models import MODELS
from raybench.record.noted import Missing, Noted, noted
from raybench.record.schema import ModelFacts, WarningFacts
from raybench.trial.input import InputPipeline
from raybench.trial.measure.audit import StepAudit
from raybench.trial.setup import Setup


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """What the untimed steps told.

    Attributes:
        model: the model, with the operations of a training step.
        warnings: what in a step disturbs the clock.
        seconds: of the warm-up, compilation and capture included.
    """

    model: Noted[ModelFacts]
    warnings: tuple[WarningFacts, ...]
    seconds: float


def warm_up(setup: Setup) -> WarmUp:
    """Run the steps, the first of them audited, and return to the initial weights."""
    started_s = time.perf_counter()
    trainer, spec = setup.trainer, setup.spec
    trainer.model.train()
    batches = _batches(setup.train_input)
    full = kept(next(batches))
    with StepAudit() as audit:
        trainer.eager_step(*full)
    trainer.accelerate(*full)
    more = itertools.chain(batches, itertools.repeat(full))
    for batch in itertools.islice(more, spec.warmup_steps):
        trainer.step(*batch)
    _run_last_batch(setup.train_input, spec.batch_size, full, trainer.step)
    trainer.model.eval()
    full_eval = kept(next(_batches(setup.eval_input)))
    trainer.evaluate(*full_eval)
    _run_last_batch(setup.eval_input, spec.batch_size, full_eval, trainer.evaluate)
    trainer.reset()
    setup.machine.timeline.synchronize()
    return WarmUp(
        model=_model_facts(setup, audit, len(full[0])),
        warnings=tuple(
            WarningFacts(kind="disturbed_clock", message=finding) for finding in audit.findings()
        ),
        seconds=time.perf_counter() - started_s,
    )


def kept(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Copy a batch: its pipeline may use the buffers again."""
    return batch[0].clone(), batch[1].clone()


def _batches(pipeline: InputPipeline) -> Iterator[tuple[Tensor, Tensor]]:
    for raw in pipeline.batches(0):
        yield pipeline.preprocess(pipeline.transfer(raw))


def _run_last_batch(
    pipeline: InputPipeline,
    batch_size: int,
    full: tuple[Tensor, Tensor],
    step: Callable[[Tensor, Tensor], object],
) -> None:
    """Run the smaller batch that an epoch may end with: its shapes are new to libraries."""
    rest = pipeline.images % batch_size
    if 0 < rest < len(full[0]):
        step(full[0][:rest], full[1][:rest])


def _model_facts(setup: Setup, audit: StepAudit, images: int) -> Noted[ModelFacts]:
    names = ", ".join(sorted(audit.uncounted))
    uncounted = f"neither raybench nor torch {torch.__version__} counts what {names} does"
    weight = setup.spec.aux_loss_weight
    return noted(
        ModelFacts,
        name=setup.spec.model,
        parameters=setup.trainer.parameters,
        flops_per_image=Missing(uncounted) if audit.uncounted else audit.flops / images,
        aux_loss_weight=Missing("the model has no auxiliary heads") if weight is None else weight,
        origin=MODELS.origin(setup.spec.model),
    )
