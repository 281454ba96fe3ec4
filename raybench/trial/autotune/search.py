"""What a spec leaves open is decided by trying: the fastest execution, the largest batch.

``execution: best`` tries the combinations of precision, memory format, execution and optimizer
that the hardware supports, each for a few steps on one batch that is on the device, and takes the
fastest whose losses agree with those of the plain way: fp32, contiguous, eager. ``batch_size:
largest`` takes the largest batch that the device's memory holds. Every attempt runs in a clean
process of its own, so that none leaves anything to the next one, or to the trial.
"""

from __future__ import annotations

import itertools
import json
import math
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch

from raybench.catalog.datasets import DATASETS
from raybench.errors import RaybenchError, SpecError, TrialFailed
from raybench.record.autotune import Autotune, Candidate, StepSettings
from raybench.record.store import Experiment, write_once
from raybench.record.upgrades import autotune_of_version_2
from raybench.spec.fields import MemoryFormat, Precision
from raybench.spec.trial import ResolvedSpec, TrialSpec
from raybench.trial.autotune.attempt import FITS, FITS_NOT, _Result, try_batch, try_settings
from raybench.trial.process.forkserver import CallFailedError, ProcessDiedError, call

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

ATTEMPT_TIMEOUT_S = 1200.0
"""Compiling a large model takes minutes; longer than this is a hang."""


def decide(
    spec: TrialSpec,
    experiment: Experiment,
    data_root: Path,
    tell: Callable[[str], None] = lambda _what: None,
    *,
    again: bool = False,
) -> Autotune:
    """Decide what a spec leaves open, once for all its repeats in an experiment.

    Args:
        spec: with ``execution: best``, ``batch_size: largest`` or both.
        experiment: keeps what was decided, so that all repeats are executed alike.
        data_root: where the datasets lie.
        tell: is told what is tried, before each attempt.
        again: whether to forget what was decided before.

    Raises:
        TrialFailed: not even the plain way works.
        ResultsError: the experiment's folder cannot be written.
    """
    path = experiment.tune_up_path(spec, f"torch {torch.__version__}")
    if again:
        path.unlink(missing_ok=True)
    if (known := _read(path)) is not None:
        return known
    found = tune_up(spec, data_root, tell)
    kept = write_once(path, found.model_dump_json(indent=1).encode() + b"\n")
    return Autotune.model_validate_json(kept)


def _read(path: Path) -> Autotune | None:
    """Return what was decided before; a damaged file does not count, and goes."""
    try:
        return Autotune.model_validate(autotune_of_version_2(json.loads(path.read_bytes())))
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError):
        path.unlink(missing_ok=True)
        return None


def tune_up(
    spec: TrialSpec, data_root: Path, tell: Callable[[str], None] = lambda _what: None
) -> Autotune:
    """Try what the spec leaves open; see ``decide``.

    Raises:
        TrialFailed: not even the plain way works.
    """
    started = time.perf_counter()
    bench = _Bench(spec=spec, data_root=data_root, tell=tell)
    largest = spec.batch_size == "largest"
    batch_size = 1 if spec.batch_size == "largest" else spec.batch_size
    settings = _plain(spec, batch_size)
    reasons = []
    if largest:
        settings = bench.with_largest_batch(settings)
    if spec.execution == "best":
        settings, reason = bench.fastest(settings)
        reasons.append(reason)
        if largest:
            settings = bench.with_largest_batch(settings, known=settings.batch_size)
    if largest:
        reasons.append(bench.why_largest(settings))
    return Autotune(
        chosen=settings,
        reason="; ".join(reasons),
        candidates=tuple(bench.attempts),
        time_s=time.perf_counter() - started,
        hostname=socket.gethostname(),
    )


def _plain(spec: TrialSpec, batch_size: int) -> StepSettings:
    """Return what the spec says, with what every device can do for what it leaves open."""
    return StepSettings(
        precision=spec.precision,
        memory_format=spec.memory_format,
        execution="eager" if spec.execution == "best" else spec.execution,
        fused_optimizer=spec.fused_optimizer,
        cudnn_benchmark=spec.cudnn_benchmark,
        batch_size=batch_size,
    )


@dataclass
class _Bench:
    """A tune-up under way."""

    spec: TrialSpec
    data_root: Path
    tell: Callable[[str], None]
    attempts: list[Candidate] = field(default_factory=list)

    # -- the fastest execution -----------------------------------------------------------------

    def fastest(self, plain: StepSettings) -> tuple[StepSettings, str]:
        """Return the fastest settings whose losses agree with the plain ones', and why.

        All precisions and formats are tried, eagerly and as a captured graph; then the fastest
        of them with what is worth a little everywhere, and compiled, which takes the longest to
        try.
        """
        reference = self._measure(plain)
        if isinstance(reference, str):
            raise TrialFailed(
                "tune_up",
                f"the tune-up's plain way ({plain.title}) failed: {reference}",
                hint="name an execution and a batch size that work",
            )
        best, best_rate = plain, reference.images_per_s
        rates = {plain: best_rate}
        self._note(plain, reference, "slower")

        def consider(settings: StepSettings) -> None:
            nonlocal best, best_rate
            result = self._measure(settings)
            if isinstance(result, str):
                self._note(settings, None, f"failed: {result}")
            elif not _agree(result, reference, settings.precision):
                self._note(settings, result, "losses differ")
            else:
                self._note(settings, result, "slower")
                rates[settings] = result.images_per_s
                if result.images_per_s > best_rate:
                    best, best_rate = settings, result.images_per_s

        for settings in self._combinations(plain):
            consider(settings)
        for change in (
            {"cudnn_benchmark": True},
            {"fused_optimizer": True},
            {"execution": "compile"},
        ):
            for settings in self._possible(best, change):
                consider(settings)
        self._mark(best, "chosen")
        reason = (
            f"{best_rate:.1f} images/s, the fastest of {len(rates)} whose losses agree; "
            f"{plain.title}: {reference.images_per_s:.1f}"
        )
        return best, reason

    def _combinations(self, plain: StepSettings) -> Iterator[StepSettings]:
        ways = itertools.product(
            ("eager", "cudagraph"), get_args(Precision), get_args(MemoryFormat)
        )
        for execution, precision, memory_format in ways:
            change = {
                "execution": execution,
                "precision": precision,
                "memory_format": memory_format,
            }
            yield from self._possible(plain, change)

    def _possible(self, settings: StepSettings, change: dict[str, Any]) -> Iterator[StepSettings]:
        """Yield the changed settings if the hardware supports them and they are new."""
        changed = settings.model_copy(update=change)
        try:
            self.spec.resolved(changed)
        except SpecError:
            return
        if changed not in [attempt.settings for attempt in self.attempts]:
            yield changed

    def _measure(self, settings: StepSettings) -> _Result | str:
        """Return what an attempt gave, or why it gave nothing."""
        result = self._call(try_settings, settings)
        return result if isinstance(result, _Result) else str(result)

    # -- the largest batch ---------------------------------------------------------------------

    def with_largest_batch(self, settings: StepSettings, known: int = 0) -> StepSettings:
        """Return the settings with the largest batch that fits; ``known`` is one that may well."""

        def fits(batch_size: int) -> bool:
            tried = settings.model_copy(update={"batch_size": batch_size})
            problem = self._call(try_batch, tried)
            if problem not in (None, FITS_NOT):
                raise TrialFailed("tune_up", f"{tried.title} failed: {problem}")
            self._note(tried, None, FITS_NOT if problem else FITS)
            return not problem

        # Other settings need other memory, so that what fitted before is asked again.
        found = largest(fits, self._most_images, known if known and fits(known) else 0)
        if not found:
            raise TrialFailed(
                "tune_up",
                f"not even one image of {self.spec.image_size}×{self.spec.image_size} fits",
                hint="a smaller image_size, or hardware with more memory",
            )
        return settings.model_copy(update={"batch_size": found})

    @property
    def _most_images(self) -> int:
        row = DATASETS[self.spec.dataset]
        return min(self.spec.train_limit or row.train_images, row.train_images)

    def why_largest(self, settings: StepSettings) -> str:
        """Say what bounds the batch."""
        if settings.batch_size == self._most_images:
            return f"batch {settings.batch_size}: all training images fit in one"
        return f"batch {settings.batch_size}: the largest that fits, within 3 %"

    # -- attempts ------------------------------------------------------------------------------

    def _call(self, attempt: Callable[[ResolvedSpec, Path], Any], settings: StepSettings) -> Any:
        """Return what an attempt returned in a process of its own, or why it failed."""
        self.tell(settings.title)
        spec = self.spec.resolved(settings)
        try:
            return call(attempt, spec, self.data_root, timeout_s=ATTEMPT_TIMEOUT_S)
        except ProcessDiedError as error:
            killed = "SIGKILL" in str(error) and attempt is try_batch
            return FITS_NOT if killed else f"its process {error}"
        except RaybenchError as error:
            return error.message
        except CallFailedError as error:
            return str(error)

    def _note(self, settings: StepSettings, result: _Result | None, outcome: str) -> None:
        self.attempts.append(
            Candidate(
                settings=settings,
                images_per_s=result and result.images_per_s,
                first_loss=result and _finite(result.first_loss),
                loss_fall=result and _finite(result.loss_fall),
                outcome=outcome,
            )
        )

    def _mark(self, settings: StepSettings, outcome: str) -> None:
        self.attempts = [
            a.model_copy(update={"outcome": outcome})
            if a.settings == settings and a.images_per_s is not None
            else a
            for a in self.attempts
        ]


def largest(fits: Callable[[int], bool], most: int, known: int = 0) -> int:
    """Return the largest number up to ``most`` that fits, within 1/32 of it; 0 if none does.

    Args:
        fits: is asked for ever larger numbers, then between the last that fitted and the first
            that did not.
        most: the largest number to ask for.
        known: one that fits, to begin at.
    """
    good, bad = known, most + 1
    tried = max(1, 2 * known)
    while good < most and bad > most:
        tried = min(tried, most)
        if fits(tried):
            good, tried = tried, 2 * tried
        else:
            bad = tried
    while bad - good > max(1, good // 32):
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def _agree(result: _Result, plain: _Result, precision: str) -> bool:
    first = abs(result.first_loss - plain.first_loss)
    fall = abs(result.loss_fall - plain.loss_fall)
    return first <= FIRST_LOSS_TOLERANCE[precision] * abs(plain.first_loss) and (
        fall <= FALL_TOLERANCE * abs(plain.loss_fall)
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
