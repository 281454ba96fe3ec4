"""How trials are run, which is never part of what they are; and who watches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from raybench.record.state import TrialState
from raybench.schedule.resources import NODE_TIMEOUT_S
from raybench.spec.trial import TrialSpec
from raybench.trial.process.trial_process import STALL_S


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How trials are run. No option changes what is measured, or the id of a trial.

    Attributes:
        address: of a Ray cluster, ``host:port``; None starts Ray on this machine for a grid, and
            runs a single trial in a process of its own, without Ray.
        stall_timeout_s: seconds without a step or an event after which a trial counts as hung.
        node_timeout_s: seconds to wait for a node when none can run any trial that is left.
    """

    address: str | None = None
    stall_timeout_s: float = STALL_S
    node_timeout_s: float = NODE_TIMEOUT_S


class Watcher(Protocol):
    """Whoever is told how a run goes: a terminal, a log, nobody."""

    def say(self, message: str) -> None:
        """Take note of what a person should know."""

    def start(self, trials: Sequence[TrialSpec]) -> None:
        """Take note of the trials that will run."""

    def update(self, states: Mapping[str, TrialState]) -> None:
        """Take note of how far the trials are that were started, by their ids."""


class Nobody:
    """A watcher that takes note of nothing."""

    def say(self, message: str) -> None:
        """Take no note."""

    def start(self, trials: Sequence[TrialSpec]) -> None:
        """Take no note."""

    def update(self, states: Mapping[str, TrialState]) -> None:
        """Take no note."""
