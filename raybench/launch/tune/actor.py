"""What Tune runs for a trial: an actor that asks for the trial's process and relays its reports.

It can be reused, whatever became of the process.
"""

from __future__ import annotations

import os
import time
from typing import Any

import ray
from ray import tune

from raybench.errors import ResultsError
from raybench.record.rescue import rescue
from raybench.record.store import Experiment
from raybench.settings import Workspace
from raybench.spec.trial import trial_spec
from raybench.system.ray_gcs import node_is_leaving
from raybench.trial.process.trial_process import TrialProcess

PUBLISH_EVERY_S = 0.5
"""How often a trial's actor publishes how far it is."""


class TrialActor(tune.Trainable):
    """Asks for a trial's process and relays its epochs to Tune, one result an epoch.

    The last result holds the whole record. A trial that did not complete then raises, so that
    Tune shows it as an error too; so does one whose node leaves, lest its actor is used again.
    """

    def setup(  # type: ignore[override]  # the rest comes by tune.with_parameters
        self,
        config: dict[str, Any],
        *,
        experiment: Experiment,
        workspace: Workspace,
        stall_s: float,
        board: Any,
    ) -> None:
        """Take note of where everything lies, and of the first trial.

        Tune may set a second actor up for a trial, and drop one of them without a step.

        Args:
            config: holds the spec, as ``trial``, and its ``resources``.
            experiment: where the records go.
            workspace: where the data lie.
            stall_s: seconds without a step or an event after which a trial counts as hung.
            board: the ``StatusBoard``.
        """
        self._experiment, self._workspace = experiment, workspace
        self._stall_s, self._board = stall_s, board
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take note of the next trial, whose process will come from the same server."""
        self._take(new_config)
        return True

    def _take(self, config: dict[str, Any]) -> None:
        """Take note of a trial. Its process starts with the first step, and not before."""
        self._spec = trial_spec(config["trial"])
        self._process: TrialProcess | None = None
        self._failed = ""
        self._published_s = 0.0
        self._reported = 0

    def step(self) -> dict[str, Any]:
        """Wait for the next epoch, or for the end, and report it."""
        if self._failed:
            raise NoMoreTrials(self._failed)
        process = self._process = self._process or self._start()
        while True:
            epochs = process.state.epochs
            # The last epoch goes with the last result, which follows it at once.
            if self._reported < min(len(epochs), self._spec.epochs - 1):
                self._reported += 1
                return epochs[self._reported - 1].model_dump(mode="json")
            if process.ended:
                return self._final_result(process)
            process.wait(PUBLISH_EVERY_S)
            self._publish(process)

    def cleanup(self) -> None:
        """Stop the trial's process, if Tune stops the trial before its end."""
        if self._process is not None and not self._process.ended:
            self._process.interrupt()
            try:
                self._process.record()
            except ResultsError:  # Tune hands nothing on to the driver any more
                if self._process.unwritten is not None:
                    rescue(self._process.unwritten, self._experiment)

    def _start(self) -> TrialProcess:
        return TrialProcess(
            self._spec,
            self._experiment,
            self._workspace,
            variables=dict(os.environ),
            stall_s=self._stall_s,
        )

    def _final_result(self, process: TrialProcess) -> dict[str, Any]:
        try:
            record = process.record()
        except ResultsError:
            if process.unwritten is None:
                raise
            record = process.unwritten  # the driver writes it, or keeps it
        finally:
            self._publish(process, last=True)
        if record.error is not None:
            self._failed = record.error.message
        elif node_is_leaving():
            # Tune would give this actor the next trial; it uses none again that has raised.
            self._failed = "the trial is complete, and its node leaves the cluster"
        last = record.epochs[-1].model_dump(mode="json") if record.epochs else {}
        return {
            **last,
            "running_time_s": record.running_time_s,
            "status": record.status,
            "is_unwritten": process.unwritten is not None,
            "record": record.model_dump(mode="json"),
            "done": record.status == "completed" and not self._failed,
        }

    def _publish(self, process: TrialProcess, last: bool = False) -> None:
        """Publish how far the trial is, and stop it if the board says so."""
        now_s = time.monotonic()
        if now_s - self._published_s < PUBLISH_EVERY_S and not last:
            return
        self._published_s = now_s
        stop: bool = ray.get(self._board.publish.remote(self._spec.trial_id, process.state))
        if stop and not process.ended:
            process.interrupt()


class NoMoreTrials(RuntimeError):
    """What Tune sees after the last result of a trial that failed, or whose node leaves."""
