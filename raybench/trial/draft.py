"""What is known so far of a trial under way; it becomes the record, wherever the trial ends.

Torch is not loaded by this: whoever asked for a trial's process makes the record of a killed one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raybench.record.autotune import NOTHING_TO_AUTOTUNE, Autotune
from raybench.record.noted import Missing, Noted, noted
from raybench.record.schema import (
    ErrorFacts,
    Segment,
    Status,
    TrialRecord,
    WarningFacts,
)
from raybench.record.store import utc_now
from raybench.trial.summary import Epochs, Summary, summarise

if TYPE_CHECKING:
    from raybench.record.state import TrialState
    from raybench.spec.trial import TrialSpec
    from raybench.trial.profile import Profile
    from raybench.trial.setup import Machine, Setup
    from raybench.trial.timing import Timing
    from raybench.trial.warmup import WarmUp


@dataclass(kw_only=True)
class Draft:
    """A field a phase, each None until that phase is over, and the epochs so far.

    Attributes:
        spec: what was asked for.
        experiment: the experiment's name.
        started_at: when, UTC, ISO 8601.
        unmeasured: why what no phase has given is null.
    """

    spec: TrialSpec
    experiment: str
    unmeasured: str = "the trial ended before it was measured"
    started_at: str = field(default_factory=utc_now)
    autotune: Autotune | None = None
    machine: Machine | None = None
    setup: Setup | None = None
    warm_up: WarmUp | None = None
    epochs: Epochs = field(default_factory=Epochs)
    timing: Timing | None = None
    profile: Profile | None = None

    def completed(self) -> TrialRecord:
        """Return the record of a trial that ran to its end."""
        return self._record("completed", None)

    def interrupted(self) -> TrialRecord:
        """Return the record of a trial that somebody stopped."""
        message = "interrupted before it was complete; run the same command again to measure it"
        error = ErrorFacts(kind="interrupted", message=message, traceback=None)
        return self._record("interrupted", error)

    def failed(self, error: ErrorFacts) -> TrialRecord:
        """Return the record of a trial that went wrong."""
        return self._record("failed", error)

    def _record(self, status: Status, error: ErrorFacts | None) -> TrialRecord:
        """Return the record; what is null for no reason of its own was not come to."""
        setup, warm_up, timing, profile = self.setup, self.warm_up, self.timing, self.profile
        summary, segment = self._summary(), self._segment()
        found = noted(
            TrialRecord,
            trial_id=self.spec.trial_id,
            experiment=self.experiment,
            started_at=self.started_at,
            spec=self.spec,
            status=status,
            error=error,
            warnings=self._warnings(summary),
            running_time_s=summary and summary.running_time_s,
            autotune=Missing(NOTHING_TO_AUTOTUNE) if self.spec.is_resolved else self.autotune,
            setup_time_s=setup and setup.seconds,
            warmup_time_s=warm_up and warm_up.seconds,
            epochs=tuple(self.epochs.complete),
            images_per_s=summary and summary.images_per_s,
            compute_only_images_per_s=profile and profile.compute_only_images_per_s,
            step_ms=summary and summary.step_ms,
            phases_ms=profile and profile.phases_ms,
            memory=timing and timing.memory,
            device_telemetry=timing and timing.telemetry,
            mfu=summary and summary.mfu,
            dataset=setup and setup.dataset,
            model=warm_up and warm_up.model,
            segments=(segment.part,) if segment else (),
        )
        within = segment.reasons if segment else {}
        reasons = {f"segments.0.{name}": reason for name, reason in within.items()}
        record = found.part.model_copy(update={"missing": {**found.reasons, **reasons}})
        return record.with_reason(self.unmeasured)

    def _summary(self) -> Summary | None:
        if self.setup is None or self.warm_up is None or self.timing is None:
            return None
        return summarise(self.epochs, self.setup, self.warm_up.model)

    def _warnings(self, summary: Summary | None) -> tuple[WarningFacts, ...]:
        parts = (self.machine, self.warm_up, self.timing, summary)
        return tuple(warning for part in parts if part is not None for warning in part.warnings)

    def _segment(self) -> Noted[Segment] | None:
        """Return the one stretch of epochs that this process ran, if it got as far as that."""
        if self.machine is None:
            return None
        return noted(
            Segment,
            hostname=self.machine.environment.part.hostname,
            started_at=self.started_at,
            first_epoch=1,
            last_epoch=len(self.epochs.complete),
            hardware=self.machine.hardware,
            environment=self.machine.environment,
            contention=self.timing and self.timing.contention,
        )


def unfinished_record(
    spec: TrialSpec, experiment: str, state: TrialState, error: ErrorFacts
) -> TrialRecord:
    """Return the record of a trial whose process could not write one.

    Args:
        spec: the trial.
        experiment: the experiment's name.
        state: how far it was, as its events told.
        error: why it ended.
    """
    draft = Draft(
        spec=spec,
        experiment=experiment,
        started_at=state.started_at,
        epochs=Epochs(complete=list(state.epochs)),
        unmeasured="the trial's process ended before it could record this",
    )
    return draft.failed(error)
