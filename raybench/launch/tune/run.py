"""Trials on a connected Ray cluster, by Ray Tune, from their start to their end."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybench.errors import ClusterError
from raybench.launch.options import RunOptions
from raybench.launch.rescuer import Rescuer
from raybench.launch.session import cluster_nodes
from raybench.launch.tune.actor import TrialActor
from raybench.launch.tune.board import StatusBoard
from raybench.launch.tune.callbacks import Records, StopAll
from raybench.launch.tune.search import PlanOrder
from raybench.record.schema import TrialRecord
from raybench.record.state import ENDED, TrialState
from raybench.record.store import Experiment
from raybench.schedule.estimate import Estimates
from raybench.schedule.order import RunningOrder
from raybench.schedule.resources import NodeWatch
from raybench.settings import Workspace
from raybench.spec.trial import TrialSpec
from raybench.system.ray_gcs import HeadWatch

MOST_TRIALS = 2000
"""Trials of one Tune experiment; a larger plan becomes several, one after the other.

Tune keeps each trial's last result in its state, which it writes over and over.
"""


class TuneRun:
    """Trials under way on a connected Ray cluster.

    Args:
        trials: the trials to run, in this order.
        experiment: where the records go.
        workspace: where the data lie, on every node.
        options: the timeouts.
        rescuer: takes records that could not be written where they were measured.
        known: complete records, from which running times are estimated.
    """

    def __init__(
        self,
        trials: Sequence[TrialSpec],
        experiment: Experiment,
        workspace: Workspace,
        options: RunOptions,
        *,
        rescuer: Rescuer,
        known: Sequence[TrialRecord] = (),
    ) -> None:
        self._trials = trials
        self._experiment = Experiment(experiment.folder.absolute())
        # Beside the driver: on another node it would die with that.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board: Any = (
            ray.remote(StatusBoard).options(num_cpus=0, scheduling_strategy=here).remote()
        )
        self._trainable = tune.with_resources(
            tune.with_parameters(
                TrialActor,
                experiment=self._experiment,
                workspace=workspace.absolute(),
                stall_s=options.stall_timeout_s,
                board=self._board,
            ),
            lambda config: tune.PlacementGroupFactory([config["resources"]]),
        )
        self._watch = NodeWatch(trials, options.node_timeout_s)
        self._head = HeadWatch(ray.get_runtime_context().gcs_address)
        self.stranded = ""
        self._rescuer = rescuer
        self._stopper = StopAll()
        self._order = RunningOrder(trials, Estimates(known))
        self._states: dict[str, TrialState] = {}
        self._changes = 0
        self._results: list[tune.ResultGrid] = []
        self._error: BaseException | None = None
        self._started_at = time.strftime("%Y%m%d-%H%M%S")
        # It may wait for a head that has died, and is not to keep the process.
        self._thread = threading.Thread(target=self._fit, name="tune", daemon=True)

    def start(self) -> None:
        """Hand the trials to Tune."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, at most ``timeout_s``; return whether the run has ended.

        A run that only nodes could go on with that are gone is stopped; ``stranded`` says why. One
        without a head has ended: Ray would end this process within a minute.
        """
        self._thread.join(timeout_s)
        self.stranded = self._head.look(time.monotonic()) or self.stranded
        if not self._thread.is_alive() or self.is_headless:
            return True
        if not self.stranded and self._head.answers:
            ended = {name for name, state in self.states().items() if state.phase in ENDED}
            self.stranded = self._watch.look(ended, cluster_nodes(), time.monotonic()) or ""
            if self.stranded:
                self.stop()
        return False

    @property
    def is_headless(self) -> bool:
        """Whether Ray's head has died, so that nothing can be asked any more."""
        return self._head.has_died

    def states(self) -> dict[str, TrialState]:
        """Return how far each started trial is."""
        self._changes, changed = ray.get(self._board.changes.remote(self._changes))
        self._states.update(changed)
        return self._states

    def stop(self) -> None:
        """Let running trials record how far they came, and start no more."""
        self._stopper.stopped = True
        ray.get(self._board.stop.remote())

    def results(self) -> list[tune.ResultGrid]:
        """Return Tune's ResultGrids of the ended run, one for every ``MOST_TRIALS`` trials.

        Raises:
            ClusterError: Ray itself failed.
        """
        if self._error is not None:
            raise ClusterError(
                f"Ray Tune stopped: {type(self._error).__name__}: {self._error}",
                hint="what is complete was kept; run the same command again for the rest",
            ) from self._error
        return self._results

    def _fit(self) -> None:
        # What Tune would log of a failed trial stands in the trial's record.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        try:
            while (left := self._order.left) and not self._stopper.stopped:
                self._results.append(self._tuner().fit())
                asked = self._order.left < left or self._stopper.stopped
                assert asked, "Tune asks for trials until none is left"
        except Exception as error:  # noqa: BLE001 - raised again by results(), in the caller's thread
            self._error = error

    def _tuner(self) -> tune.Tuner:
        count = min(self._order.left, MOST_TRIALS)
        # The plan's own order decides what is pending.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(count)
        storage = self._experiment.folder / "tune"
        storage.mkdir(parents=True, exist_ok=True)
        return tune.Tuner(
            self._trainable,
            tune_config=tune.TuneConfig(
                num_samples=count,
                search_alg=PlanOrder(self._order, self._board, self._rescuer, self._stopper),
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=f"{self._started_at}-{len(self._results) + 1}",
                storage_path=str(storage),
                stop=self._stopper,
                callbacks=[Records(self._experiment, self._board, self._rescuer)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
