"""How long a trial will take: from what was measured of its kind, or else from FLOPs."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from raybench.catalog.datasets import DATASETS
from raybench.catalog.models import MODELS
from raybench.spec.fields import names_of
from raybench.spec.identity import Role
from raybench.spec.trial import TrialSpec

if TYPE_CHECKING:
    from raybench.record.schema import TrialRecord

_AMOUNT = {"epochs", "train_limit", "eval_limit", "dataset", *names_of(Role.REPLICATE)}
"""Fields that change how many images a trial sees, and not how long one takes."""

_UNKNOWN_MODEL = "resnet18"
"""What a model of the user's own counts like until it was measured."""


def total_images(trial: TrialSpec) -> int:
    """Return the images that a trial trains on and evaluates in all."""
    row = DATASETS[trial.dataset]
    images = (trial.train_limit or row.train_images) + (trial.eval_limit or row.eval_images)
    return trial.epochs * images


class Estimates:
    """Running times to be expected, which get better with each one that is learnt."""

    def __init__(self, records: Iterable[TrialRecord] = ()) -> None:
        self._s_per_image: dict[str, float] = {}
        self._s_per_flop: dict[str, float] = {}
        for record in records:
            trial = record.spec
            installed = trial.dataset in DATASETS and trial.model in MODELS
            if installed and record.status == "completed" and record.running_time_s is not None:
                self.learn(trial, record.running_time_s)

    def learn(self, trial: TrialSpec, running_time_s: float) -> bool:
        """Take note of a trial's running time; return whether it is the first of its kind.

        The first one counts: repeats differ by less than an order of trials depends on.
        """
        work = work_of(trial)
        if work in self._s_per_image:
            return False
        self._s_per_image[work] = running_time_s / total_images(trial)
        self._s_per_flop.setdefault(trial.hardware, running_time_s / _flops(trial))
        return True

    def known_s(self, trial: TrialSpec) -> float | None:
        """Return the seconds to be expected from trials that differ in the amount of work alone."""
        s_per_image = self._s_per_image.get(work_of(trial))
        return None if s_per_image is None else s_per_image * total_images(trial)

    def rough_s(self, trial: TrialSpec) -> float:
        """Return seconds that serve to tell long trials of a hardware from short ones.

        In proportion to FLOPs where nothing like it was measured; where nothing at all was
        measured on the hardware, as if that made 10^12 of them a second.
        """
        known = self.known_s(trial)
        if known is not None:
            return known
        return _flops(trial) * self._s_per_flop.get(trial.hardware, 1e-12)


@functools.lru_cache(maxsize=100_000)
def work_of(trial: TrialSpec) -> str:
    """What the time of an image depends on: all of the spec but the amount of work."""
    return trial.model_dump_json(exclude=_AMOUNT)


@functools.lru_cache(maxsize=100_000)
def _flops(trial: TrialSpec) -> float:
    """FLOPs of a trial, as if evaluating an image took as many as training on it."""
    of_image = MODELS[trial.model].training_flops(trial.image_size)
    like = of_image or MODELS[_UNKNOWN_MODEL].training_flops(trial.image_size)
    assert like is not None
    return like * total_images(trial)
