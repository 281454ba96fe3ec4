"""How long running trials, and the rest of a run, will still take, from what is seen of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from raybench.record.state import ENDED, TrialState
from raybench.schedule.estimate import total_images, work_of
from raybench.spec.trial import TrialSpec


@dataclass
class _Seen:
    begun_s: float
    measured_from_s: float | None = None
    """when its first images were done"""
    measured_to_s: float = 0.0
    """when its last ones were"""
    images: int = 0
    first_images: int = 0
    """that were done at ``measured_from_s``"""
    images_per_s: float | None = None
    """of the last seconds"""
    ended_s: float | None = None

    @property
    def s_per_image(self) -> float | None:
        if self.images_per_s:
            return 1 / self.images_per_s
        if self.measured_from_s is None or self.images <= self.first_images:
            return None
        return (self.measured_to_s - self.measured_from_s) / (self.images - self.first_images)


class TimeLeft:
    """How long trials will still take: those that run, and all of them together.

    Setup, warm-up and what follows the last epoch count, as they were seen of other trials. All
    together take never less than the one that takes longest.
    """

    def __init__(self, trials: Sequence[TrialSpec]) -> None:
        self._trials = {trial.trial_id: trial for trial in trials}
        self._seen: dict[str, _Seen] = {}
        self._s_per_image: dict[Hashable, float] = {}
        self._before_s = self._after_s = 0.0

    def note(
        self, states: Mapping[str, TrialState], rates: Mapping[str, float | None], now_s: float
    ) -> None:
        """Take note of how far started trials are, and of their images a second where known."""
        for trial_id, state in states.items():
            seen = self._seen.setdefault(trial_id, _Seen(begun_s=now_s))
            if seen.ended_s is not None:
                continue
            if state.images > seen.images:
                if seen.measured_from_s is None:
                    seen.measured_from_s, seen.first_images = now_s, state.images
                seen.images, seen.measured_to_s = state.images, now_s
            seen.images_per_s = rates.get(trial_id) or seen.images_per_s
            if state.phase in ENDED:
                seen.ended_s = now_s
        self._learn()

    def of_trial_s(self, trial_id: str, now_s: float) -> float | None:
        """Return the seconds that a trial will still take; None if nothing is known yet."""
        trial = self._trials[trial_id]
        seen = self._seen.get(trial_id) or _Seen(begun_s=now_s)
        if seen.ended_s is not None:
            return 0.0
        known = (self._s_per_image.get(kind) for kind in _kinds(trial))
        s_per_image = seen.s_per_image or next(filter(None, known), None)
        if s_per_image is None:
            return None
        waited_s = now_s - seen.begun_s
        before_s = max(0.0, self._before_s - waited_s) if seen.measured_from_s is None else 0.0
        return before_s + (total_images(trial) - seen.images) * s_per_image + self._after_s

    def of_all_s(self, now_s: float) -> float | None:
        """Return the seconds that all trials will still take; None if nothing is known yet."""
        left_s = [self.of_trial_s(name, now_s) for name in self._trials]
        known_s = [time_s for time_s in left_s if time_s is not None]
        if len(known_s) < len(left_s):
            return None
        running = sum(seen.ended_s is None for seen in self._seen.values())
        return max(sum(known_s) / max(1, running), max(known_s, default=0.0))

    def _learn(self) -> None:
        """Take the means of what was seen, for trials of which nothing was."""
        times_s: dict[Hashable, list[float]] = {}
        for name, seen in self._seen.items():
            if seen.s_per_image is not None:
                for kind in _kinds(self._trials[name]):
                    times_s.setdefault(kind, []).append(seen.s_per_image)
        self._s_per_image = {kind: _mean(values) for kind, values in times_s.items()}
        before_s, after_s = [], []
        for seen in self._seen.values():
            if seen.measured_from_s is not None:
                before_s.append(seen.measured_from_s - seen.begun_s)
                if seen.ended_s is not None:
                    after_s.append(seen.ended_s - seen.measured_to_s)
        self._before_s, self._after_s = _mean(before_s), _mean(after_s)


def _kinds(trial: TrialSpec) -> tuple[Hashable, ...]:
    """What a trial's time of an image may be taken from, the closest kind first."""
    return work_of(trial), trial.hardware, None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def duration(seconds: float) -> str:
    """Write seconds as ``42 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
