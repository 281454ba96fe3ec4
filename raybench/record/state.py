"""How far a trial is: the events that it reports, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass

from raybench.record.schema import (
    Epoch,
    ErrorFacts,
)


@dataclass(frozen=True)
class PhaseStarted:
    """The trial has entered ``tune-up``, ``setup``, ``warm-up``, ``training`` or ``profiling``."""

    name: str


@dataclass(frozen=True)
class EpochDone:
    """An epoch is complete."""

    epoch: Epoch


Event = PhaseStarted | EpochDone

ENDED = ("completed", "failed", "interrupted")
"""The phases in which a trial is over."""


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """How far a trial is.

    Attributes:
        phase: starting, setup, warm-up, training or profiling; at the end the record's status.
        epochs: the epochs that are complete.
        images: images trained on and evaluated so far.
        host: where it runs.
        message: the first line of why it did not complete.
        started_at: when, UTC, ISO 8601.
    """

    phase: str
    epochs: tuple[Epoch, ...] = ()
    images: int = 0
    host: str = ""
    message: str = ""
    started_at: str = ""


def first_line(error: ErrorFacts | None) -> str:
    """Return the first line of what went wrong, or an empty string."""
    return error.message.splitlines()[0] if error and error.message else ""
