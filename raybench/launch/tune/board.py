"""How far each trial of a grid is, for the driver and the trials."""

from __future__ import annotations

from raybench.record.state import TrialState


class StatusBoard:
    """A Ray actor that trials publish their progress on, and read from whether to stop."""

    def __init__(self) -> None:
        self._states: dict[str, TrialState] = {}
        self._changed: dict[str, int] = {}
        self._count = 0
        self._stopping = False

    def publish(self, trial_id: str, state: TrialState) -> bool:
        """Note a trial's state; return whether trials shall stop."""
        self._count += 1
        self._changed[trial_id] = self._count
        self._states[trial_id] = state
        return self._stopping

    def state(self, trial_id: str) -> TrialState | None:
        """Return the state of a trial, or None before it has started."""
        return self._states.get(trial_id)

    def changes(self, since: int) -> tuple[int, dict[str, TrialState]]:
        """Return the number of changes so far, and the states that changed after ``since``."""
        new = {name: self._states[name] for name, at in self._changed.items() if at > since}
        return self._count, new

    def started(self, since: int) -> list[str]:
        """Return the trials that have started, in their order, but for the first ``since``."""
        return list(self._states)[since:]

    def stop(self) -> None:
        """Let all trials stop."""
        self._stopping = True
