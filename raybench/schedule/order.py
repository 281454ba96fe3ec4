"""In which order a plan's trials run: so that no device waits, and repeats stay comparable."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from raybench.schedule.estimate import Estimates
from raybench.schedule.resources import Lane, lanes_of, slots
from raybench.spec.trial import TrialSpec


class Next(NamedTuple):
    """A trial that may be handed to Ray, and what it asks for."""

    trial: TrialSpec
    resources: Mapping[str, float]


@dataclass
class _Queue:
    lane: Lane
    due: list[TrialSpec]
    pending: set[str] = field(default_factory=set)
    several: bool = False
    """whether more than one device takes from it"""


class RunningOrder:
    """Hands out a plan's trials lane by lane, never more of one than its devices can take at once.

    Ray gives a device that becomes free to any pending trial of its shape; so none is overtaken,
    and none waits behind another lane's queue. Where one device takes from a lane, the plan's
    order holds. Where several do, the longest trial of a pass over the repeats comes first, lest
    the last device is left with it; trials that differ in hardware alone stay side by side, so
    that a change of the machine falls on both sides of a speedup.

    Args:
        trials: the plan.
        estimates: of running times; they are learnt from trials that end.
    """

    def __init__(self, trials: Sequence[TrialSpec], estimates: Estimates) -> None:
        self._estimates = estimates
        self._place = {trial.trial_id: number for number, trial in enumerate(trials)}
        self._alike = {trial.trial_id: _but_hardware(trial) for trial in trials}
        self._queues = [_Queue(lane, list(lane.trials)) for lane in lanes_of(trials)]

    @property
    def left(self) -> int:
        """How many trials were not handed out yet."""
        return sum(len(queue.due) for queue in self._queues)

    def next(self, hosts: Collection[Mapping[str, float]]) -> Next | None:
        """Hand out a trial; None if enough are pending on the cluster's hosts."""
        ready = []
        for queue in self._queues:
            room = slots(queue.lane.resources, hosts)
            if queue.several != (room > 1):
                queue.several = room > 1
                self._sort(queue)
            if queue.due and len(queue.pending) < max(1, room):
                ready.append(queue)
        if not ready:
            return None
        queue = min(ready, key=lambda queue: self._place[queue.due[0].trial_id])
        trial = queue.due.pop(0)
        queue.pending.add(trial.trial_id)
        return Next(trial, queue.lane.resources)

    def note_started(self, trial_ids: Iterable[str]) -> None:
        """Take note of trials that run, or that came to nothing: they are pending no more."""
        started = set(trial_ids)
        for queue in self._queues:
            queue.pending -= started

    def note_running_time(self, trial: TrialSpec, running_time_s: float) -> None:
        """Take note of how long a trial took; what is left is put in order by it."""
        if self._estimates.learn(trial, running_time_s):
            for queue in self._queues:
                self._sort(queue)

    def _sort(self, queue: _Queue) -> None:
        if not queue.several:
            queue.due.sort(key=lambda trial: self._place[trial.trial_id])
            return
        longest: dict[str, float] = {}
        for trial in queue.due:
            alike = self._alike[trial.trial_id]
            longest[alike] = max(longest.get(alike, 0.0), self._estimates.rough_s(trial))
        queue.due.sort(
            key=lambda trial: (
                trial.repeat,
                -longest[self._alike[trial.trial_id]],
                self._place[trial.trial_id],
            )
        )


def _but_hardware(trial: TrialSpec) -> str:
    return trial.model_dump_json(exclude={"hardware", "num_workers", "repeat"})
