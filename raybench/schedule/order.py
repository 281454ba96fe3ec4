"""In which order a plan's trials run: so that no device waits, and repeats stay comparable."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from raybench.schedule.estimate import Estimates
from raybench.schedule.resources import TrialQueue, slots, trial_queues
from raybench.spec.trial import TrialSpec


class Next(NamedTuple):
    """A trial that may be handed to Ray, and what it asks for."""

    trial: TrialSpec
    resources: Mapping[str, float]


@dataclass
class _Waiting:
    queue: TrialQueue
    due: list[TrialSpec]
    pending: set[str] = field(default_factory=set)
    several: bool = False
    """whether more than one device takes from it"""


class RunningOrder:
    """Hands out a plan's trials, never more of a queue than its devices can take at once.

    Ray gives a device that becomes free to any pending trial of its shape; so none is overtaken,
    and none waits behind another queue. Where one device takes from a queue, the plan's
    order holds. Where several do, the longest trial of a pass over the repeats comes first, lest
    the last device is left with it; trials that differ in hardware alone stay side by side, so
    that a change of the machine falls on both sides of a speedup.
    """

    def __init__(self, trials: Sequence[TrialSpec], estimates: Estimates) -> None:
        self._estimates = estimates
        self._place = {trial.trial_id: number for number, trial in enumerate(trials)}
        but_hardware = {"hardware", "num_workers", "repeat"}
        self._alike = {t.trial_id: t.model_dump_json(exclude=but_hardware) for t in trials}
        self._waiting = [_Waiting(queue, list(queue.trials)) for queue in trial_queues(trials)]

    @property
    def left(self) -> int:
        """How many trials were not handed out yet."""
        return sum(len(waiting.due) for waiting in self._waiting)

    def next(self, nodes: Collection[Mapping[str, float]]) -> Next | None:
        """Hand out a trial; None if enough are pending on the cluster's nodes."""
        ready = []
        for waiting in self._waiting:
            places = slots(waiting.queue.resources, nodes)
            if waiting.several != (places > 1):
                waiting.several = places > 1
                self._sort(waiting)
            if waiting.due and len(waiting.pending) < max(1, places):
                ready.append(waiting)
        if not ready:
            return None
        waiting = min(ready, key=lambda each: self._place[each.due[0].trial_id])
        trial = waiting.due.pop(0)
        waiting.pending.add(trial.trial_id)
        return Next(trial, waiting.queue.resources)

    def note_started(self, trial_ids: Iterable[str]) -> None:
        """Take note of trials that run, or that came to nothing: they are pending no more."""
        started = set(trial_ids)
        for waiting in self._waiting:
            waiting.pending -= started

    def note_running_time(self, trial: TrialSpec, running_time_s: float) -> None:
        """Take note of how long a trial took; what is left is put in order by it."""
        if self._estimates.learn(trial, running_time_s):
            for waiting in self._waiting:
                self._sort(waiting)

    def _sort(self, waiting: _Waiting) -> None:
        if not waiting.several:
            waiting.due.sort(key=lambda trial: self._place[trial.trial_id])
            return
        longest: dict[str, float] = {}
        for trial in waiting.due:
            alike = self._alike[trial.trial_id]
            longest[alike] = max(longest.get(alike, 0.0), self._estimates.rough_s(trial))

        def key(trial: TrialSpec) -> tuple[int, float, int]:
            name = trial.trial_id
            return trial.repeat, -longest[self._alike[name]], self._place[name]

        waiting.due.sort(key=key)
