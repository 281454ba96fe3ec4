"""What Tune asks the driver and tells it: which trial is next, whether to stop, what failed."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import ray
from ray import tune
from ray.tune.stopper import Stopper

from raybench.errors import RecordError
from raybench.launch.rescuer import Rescuer
from raybench.record.schema import ErrorFacts
from raybench.record.state import ENDED, TrialEnded, TrialState
from raybench.record.store import Experiment
from raybench.record.upgrades import read_record
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


class Records(tune.Callback):
    """Sees to it that every trial that began has its record, whatever became of its node.

    Args:
        experiment: where the records go.
        board: the ``StatusBoard``, which knows how far each trial was.
        rescuer: writes records, and keeps those that cannot be written.
    """

    def __init__(self, experiment: Experiment, board: Any, rescuer: Rescuer) -> None:
        self._experiment = experiment
        self._board = board
        self._rescuer = rescuer

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Write a record that the trial's own node could not."""
        del iteration, trials, trial, info
        if result.get("is_unwritten"):
            self._rescuer.keep(read_record(json.dumps(result["record"]), "a Tune result"))

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
            state = self._lost(spec, state)
        ray.get(self._board.publish.remote(spec.trial_id, state))

    def _lost(self, spec: TrialSpec, state: TrialState) -> TrialState:
        """Return how a trial ended whose actor is gone; one that outlived it has told so itself."""
        there = None
        with suppress(RecordError):
            there = self._experiment.read(spec.trial_id)
        if there is not None and there.started_at == state.started_at:
            return state.after(TrialEnded(there))
        message = f"{state.node} was lost while the trial was in {state.phase}"
        hint = "hint:    run the same command again"
        error = ErrorFacts(kind="host_lost", message=f"{message}\n{hint}", traceback=None)
        record = unfinished_record(spec, self._experiment.name, state, error)
        self._rescuer.keep(record)
        return state.after(TrialEnded(record))
