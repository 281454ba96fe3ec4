"""The running order, as Tune asks for it."""

from __future__ import annotations

from typing import Any

import ray
from ray.tune.search import Searcher

from raybench.launch.rescuer import Rescuer
from raybench.launch.session import cluster_nodes
from raybench.launch.tune.callbacks import StopAll
from raybench.schedule.order import RunningOrder
from raybench.spec.trial import TrialSpec


class PlanOrder(Searcher):
    """Suggests the plan's trials to Tune, in their running order.

    Args:
        order: hands out the trials.
        board: the ``StatusBoard``, which knows the trials that have started.
        stopper: once it has stopped, none is either, and Tune may end.
        rescuer: while records wait to be written, no trial is suggested.
    """

    def __init__(self, order: RunningOrder, board: Any, rescuer: Rescuer, stopper: StopAll) -> None:
        super().__init__()
        self._order = order
        self._board = board
        self._rescuer = rescuer
        self._stopper = stopper
        self._started = 0
        self._suggested: dict[str, TrialSpec] = {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[Any, Any], **spec: Any
    ) -> bool:
        """Take a search space from Tune: there is none, the plan is complete."""
        del metric, mode, config, spec
        return True

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's config, None if none may be pending yet, or FINISHED."""
        if not self._order.left or self._stopper.stopped:
            return str(Searcher.FINISHED)
        if self._rescuer.is_waiting:
            return None
        started = ray.get(self._board.started.remote(self._started))
        self._started += len(started)
        self._order.note_started(started)
        chosen = self._order.next(cluster_nodes())
        if chosen is None:
            return None
        self._suggested[trial_id] = chosen.trial
        resources = dict(chosen.resources)
        return {"trial": chosen.trial.model_dump(mode="json"), "resources": resources}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Learn how long a trial took; forget one whose actor never came to start it."""
        del error
        trial = self._suggested.pop(trial_id, None)
        if trial is None:
            return
        self._order.note_started([trial.trial_id])
        if result and result.get("status") == "completed":
            self._order.note_running_time(trial, result["running_time_s"])

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: what is left to do follows from the records."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing, likewise."""
