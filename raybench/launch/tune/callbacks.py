"""What Tune asks the driver and tells it: which trial is next, whether to stop, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.tune.stopper import Stopper

from raybench.record.schema import ErrorFacts
from raybench.record.state import ENDED, TrialState
from raybench.record.store import Experiment
from raybench.spec.trial import TrialSpec, trial_spec
from raybench.trial.draft import unfinished_record


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
    """Ends trials that were lost with their node: on the board, and with a record if they began.

    Args:
        trials: the plan.
        experiment: where the records go.
        board: the ``StatusBoard``, which knows how far each trial was.
    """

    def __init__(self, trials: Sequence[TrialSpec], experiment: Experiment, board: Any) -> None:
        self._experiment = experiment
        self._board = board
        self._written_before = {t.trial_id: self._written_ns(t.trial_id) for t in trials}

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial is over, if its actor could not say so any more."""
        del iteration, trials, info
        spec = trial_spec(trial.config["trial"])
        state = ray.get(self._board.state.remote(spec.trial_id))
        if state is None:
            state = TrialState(phase="failed", message="its node was lost before it began")
        elif state.phase in ENDED:
            return
        else:
            message = f"{state.node} was lost while the trial was in {state.phase}"
            state = replace(state, phase="failed", message=message)
            # A trial that outlived its actor has told more by its own record.
            if self._written_ns(spec.trial_id) == self._written_before[spec.trial_id]:
                hint = "hint:    run the same command again"
                error = ErrorFacts(kind="host_lost", message=f"{message}\n{hint}", traceback=None)
                record = unfinished_record(spec, self._experiment.name, state, error)
                self._experiment.write(record)
        ray.get(self._board.publish.remote(spec.trial_id, state))

    def _written_ns(self, trial_id: str) -> int:
        path = self._experiment.record_path(trial_id)
        return path.stat().st_mtime_ns if path.exists() else 0
