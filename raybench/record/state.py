"""How far a trial is: the events that it reports, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raybench.record.schema import Epoch, ErrorFacts, TrialRecord


@dataclass(frozen=True)
class PhaseStarted:
    """The trial has entered ``autotune``, ``setup``, ``warm-up``, ``training`` or ``profiling``."""

    name: str


@dataclass(frozen=True)
class EpochDone:
    """An epoch is complete."""

    epoch: Epoch


@dataclass(frozen=True)
class Measured:
    """The timed epochs are complete: the record, should nothing come after."""

    record: TrialRecord


@dataclass(frozen=True)
class TrialEnded:
    """The trial is over, and its record is about to be written."""

    record: TrialRecord


Event = PhaseStarted | EpochDone | Measured | TrialEnded
Listener = Callable[[Event], None]

ENDED = ("completed", "failed", "interrupted")
"""The phases in which a trial is over."""


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """How far a trial is.

    Attributes:
        phase: starting, setup, warm-up, training or profiling; at the end the record's status.
        epochs: the epochs that are complete.
        images: images trained on and evaluated so far, as the trial's process counts them.
        node: where it runs.
        message: the first line of why it did not complete.
        started_at: when, UTC, ISO 8601.
    """

    phase: str
    epochs: tuple[Epoch, ...] = ()
    images: int = 0
    node: str = ""
    message: str = ""
    started_at: str = ""

    def after(self, event: Event) -> TrialState:
        """Return how far the trial is once an event has happened."""
        if isinstance(event, PhaseStarted):
            return replace(self, phase=event.name)
        if isinstance(event, EpochDone):
            return replace(self, epochs=(*self.epochs, event.epoch))
        if isinstance(event, Measured):
            return self
        record = event.record
        return replace(self, phase=record.status, message=first_line(record.error))


def first_line(error: ErrorFacts | None) -> str:
    """Return the first line of what went wrong, or an empty string."""
    return error.message.splitlines()[0] if error and error.message else ""
