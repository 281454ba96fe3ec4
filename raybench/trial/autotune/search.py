"""What a spec leaves open is resolved by trying: the fastest execution, the largest batch.

``execution: best`` tries the combinations of precision, memory format, execution and optimizer
that the hardware supports, each for a few steps on one batch that is on the device, and takes the
fastest whose losses agree with those of the plain way: fp32, contiguous, eager. ``batch_size:
largest`` takes the largest batch that the device's memory holds. Every candidate is tried in a
clean process of its own, so that none leaves anything to the next one, or to the trial.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from raybench.catalog.datasets import DATASETS
from raybench.errors import RaybenchError, SpecError, TrialFailed
from raybench.record.autotune import Autotune, Candidate, StepSettings
from raybench.record.state import Listener, PhaseStarted
from raybench.record.store import Experiment
from raybench.settings import Workspace
from raybench.spec.fields import MemoryFormat, Precision
from raybench.spec.trial import ResolvedSpec, TrialSpec
from raybench.trial.autotune.attempt import (
    FITS,
    OUT_OF_MEMORY,
    StepMeasurement,
    finite,
    try_batch,
    try_settings,
)
from raybench.trial.autotune.kept import forget, keep, known
from raybench.trial.process.forkserver import CallFailedError, ProcessDiedError, call

ATTEMPT_TIMEOUT_S = 1200.0
"""Compiling a large model takes minutes; longer than this is a hang."""

Try = Callable[[ResolvedSpec, Workspace], Any]
"""``try_settings`` or ``try_batch``."""


def autotune(
    spec: TrialSpec,
    experiment: Experiment,
    workspace: Workspace,
    listen: Listener,
    *,
    again: bool = False,
) -> Autotune | None:
    """Resolve what a spec leaves open, once for all its repeats in an experiment.

    Args:
        spec: with ``execution: best``, ``batch_size: largest`` or both.
        experiment: keeps what was found, so that all repeats are executed alike.
        workspace: where the datasets lie.
        listen: is told of each candidate before it is tried, as a phase ``autotune: …``.
        again: whether to forget what was found before.

    Returns:
        What was found; None where the spec leaves nothing open.

    Raises:
        TrialFailed: not even the plain way works.
        ResultsError: the experiment's folder cannot be written.
    """
    if spec.is_resolved:
        return None
    if again:
        forget(experiment, spec)
    found = known(experiment, spec)
    if found is not None:
        return found
    return keep(experiment, spec, resolve(spec, workspace, listen))


def resolve(spec: TrialSpec, workspace: Workspace, listen: Listener) -> Autotune:
    """Try what the spec leaves open; see ``autotune``.

    Raises:
        TrialFailed: not even the plain way works.
    """
    started_s = time.perf_counter()
    search = _Search(spec=spec, workspace=workspace, listen=listen)
    settings, reasons = _plain(spec), []
    if spec.batch_size == "largest":
        settings = search.with_largest_batch(settings)
    if spec.execution == "best":
        settings, reason = search.fastest(settings)
        reasons.append(reason)
        if spec.batch_size == "largest":
            settings = search.with_largest_batch(settings, known=settings.batch_size)
    if spec.batch_size == "largest":
        reasons.append(search.why_largest(settings))
    return Autotune(
        chosen=settings,
        reason="; ".join(reasons),
        candidates=tuple(search.candidates),
        time_s=time.perf_counter() - started_s,
        hostname=socket.gethostname(),
    )


def _plain(spec: TrialSpec) -> StepSettings:
    """Return what the spec says, with what every device can do for what it leaves open."""
    return StepSettings(
        precision=spec.precision,
        memory_format=spec.memory_format,
        execution="eager" if spec.execution == "best" else spec.execution,
        fused_optimizer=spec.fused_optimizer,
        cudnn_benchmark=spec.cudnn_benchmark,
        batch_size=1 if spec.batch_size == "largest" else spec.batch_size,
    )


@dataclass
class _Search:
    """An autotune under way."""

    spec: TrialSpec
    workspace: Workspace
    listen: Listener
    candidates: list[Candidate] = field(default_factory=list)

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
                "autotune",
                f"the plain way ({plain.title}) failed: {reference}",
                hint="name an execution and a batch size that work",
            )
        rates = {plain: reference.images_per_s}
        self._note(plain, reference, "slower")
        for settings in self._combinations(plain):
            self._consider(settings, reference, rates)
        for change in (
            {"cudnn_benchmark": True},
            {"fused_optimizer": True},
            {"execution": "compile"},
        ):
            for settings in self._possible(_fastest_of(rates), change):
                self._consider(settings, reference, rates)
        best = _fastest_of(rates)
        self._mark_chosen(best)
        reason = (
            f"{rates[best]:.1f} images/s, the fastest of {len(rates)} whose losses agree; "
            f"{plain.title}: {reference.images_per_s:.1f}"
        )
        return best, reason

    def _consider(
        self, settings: StepSettings, reference: StepMeasurement, rates: dict[StepSettings, float]
    ) -> None:
        """Try settings; if their losses agree with the reference's, add their rate."""
        result = self._measure(settings)
        if isinstance(result, str):
            self._note(settings, None, f"failed: {result}")
        elif not result.agrees_with(reference, settings.precision):
            self._note(settings, result, "losses differ")
        else:
            self._note(settings, result, "slower")
            rates[settings] = result.images_per_s

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
        if changed not in [candidate.settings for candidate in self.candidates]:
            yield changed

    def _measure(self, settings: StepSettings) -> StepMeasurement | str:
        """Return what an attempt gave, or why it gave nothing."""
        result = self._try(try_settings, settings)
        return result if isinstance(result, StepMeasurement) else str(result)

    # -- the largest batch ---------------------------------------------------------------------

    def with_largest_batch(self, settings: StepSettings, known: int = 0) -> StepSettings:
        """Return the settings with the largest batch that fits; ``known`` is one that may well."""

        def fits(batch_size: int) -> bool:
            tried = settings.model_copy(update={"batch_size": batch_size})
            problem = self._try(try_batch, tried)
            if problem not in (None, OUT_OF_MEMORY):
                raise TrialFailed("autotune", f"{tried.title} failed: {problem}")
            self._note(tried, None, OUT_OF_MEMORY if problem else FITS)
            return not problem

        # Other settings need other memory, so that what fitted before is asked again.
        found = largest(fits, self._most_images, known if known and fits(known) else 0)
        if not found:
            raise TrialFailed(
                "autotune",
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

    def _try(self, attempt: Try, settings: StepSettings) -> Any:
        """Return what an attempt returned in a process of its own, or why it failed."""
        self.listen(PhaseStarted(f"autotune: {settings.title}"))
        spec = self.spec.resolved(settings)
        try:
            return call(attempt, spec, self.workspace, timeout_s=ATTEMPT_TIMEOUT_S)
        except ProcessDiedError as error:
            killed = "SIGKILL" in str(error) and attempt is try_batch
            return OUT_OF_MEMORY if killed else f"its process {error}"
        except RaybenchError as error:
            return error.message
        except CallFailedError as error:
            return str(error)

    def _note(self, settings: StepSettings, result: StepMeasurement | None, outcome: str) -> None:
        self.candidates.append(
            Candidate(
                settings=settings,
                images_per_s=result and result.images_per_s,
                first_loss=result and finite(result.first_loss),
                loss_fall=result and finite(result.loss_fall),
                outcome=outcome,
            )
        )

    def _mark_chosen(self, settings: StepSettings) -> None:
        self.candidates = [
            candidate.model_copy(update={"outcome": "chosen"})
            if candidate.settings == settings and candidate.images_per_s is not None
            else candidate
            for candidate in self.candidates
        ]


def _fastest_of(rates: dict[StepSettings, float]) -> StepSettings:
    """Return the settings of the highest rate, of equal ones those that were tried first."""
    return max(rates, key=lambda settings: rates[settings])


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
