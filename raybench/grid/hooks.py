"""What Tune asks the driver and tells it: which trial is next, whether to stop, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from raybench.ordering import RunningOrder
from raybench.ray_session import cluster_hosts
from raybench.record import ErrorFacts
from raybench.spec import TrialSpec, trial_spec
from raybench.store import Experiment
from raybench.worker import ENDED, TrialState, unfinished_record


class StopAll(Stopper):
    """Stops all trials, and starts no more, once ``stopped`` is set."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self, _trial_id: str, _result: dict[str, Any]) -> bool:
        """Return whether a trial shall stop."""
        return self.stopped

    def stop_all(self) -> bool:
        """Return whether all shall, and none start."""
        return self.stopped


class LostTrials(tune.Callback):
    """Ends trials that were lost with their host: on the board, and with a record if they began.

    Args:
        trials: the plan.
        experiment: where the records go.
        board: the name of the board, which knows how far each trial was.
    """

    def __init__(self, trials: Sequence[TrialSpec], experiment: Experiment, board: str) -> None:
        self._experiment = experiment
        self._board = board
        self._written_before = {t.trial_id: self._written_ns(t.trial_id) for t in trials}

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial is over, if its actor could not say so any more."""
        del iteration, trials, info
        spec = trial_spec(trial.config["trial"])
        board: Any = ray.get_actor(self._board)
        state = ray.get(board.state.remote(spec.trial_id))
        if state is None:
            state = TrialState(phase="failed", message="its host was lost before it began")
        elif state.phase in ENDED:
            return
        else:
            message = f"{state.host} was lost while the trial was in {state.phase}"
            state = replace(state, phase="failed", message=message)
            # A trial that outlived its actor has told more by its own record.
            if self._written_ns(spec.trial_id) == self._written_before[spec.trial_id]:
                cure = "to do:   run the same command again"
                error = ErrorFacts(kind="host_lost", message=f"{message}\n{cure}", traceback=None)
                record = unfinished_record(spec, self._experiment.name, state, error)
                self._experiment.write_record(record)
        ray.get(board.tell.remote(spec.trial_id, state))

    def _written_ns(self, trial_id: str) -> int:
        path = self._experiment.record_path(trial_id)
        return path.stat().st_mtime_ns if path.exists() else 0


class PlanOrder(Searcher):
    """Suggests the plan's trials to Tune, in their running order.

    Args:
        order: hands out the trials.
        board: the name of the board, which knows the trials that have started.
    """

    def __init__(self, order: RunningOrder, board: str) -> None:
        super().__init__()
        self._order = order
        self._board = board
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
        if not self._order.left:
            return str(Searcher.FINISHED)
        board: Any = ray.get_actor(self._board)
        started = ray.get(board.started.remote(self._started))
        self._started += len(started)
        self._order.note_started(started)
        chosen = self._order.next(cluster_hosts())
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
