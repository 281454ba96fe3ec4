"""A grid on a connected Ray cluster, from its start to its end."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybench.errors import ClusterError
from raybench.launch.session import cluster_hosts
from raybench.launch.tune.actor import TrialActor
from raybench.launch.tune.board import Board
from raybench.launch.tune.callbacks import LostTrials, StopAll
from raybench.launch.tune.search import PlanOrder
from raybench.record.schema import TrialRecord
from raybench.record.state import ENDED, TrialState
from raybench.record.store import Experiment
from raybench.schedule.estimate import Estimates
from raybench.schedule.order import RunningOrder
from raybench.schedule.resources import NODE_TIMEOUT_S, HostWatch, check_placeable
from raybench.spec.trial import TrialSpec
from raybench.trial.process.trial_process import STALL_S

MOST_TRIALS = 2000
"""Trials of one Tune experiment; a larger plan becomes several, one after the other.

Tune keeps each trial's last result in its state, which it writes over and over.
"""


@dataclass(frozen=True, kw_only=True)
class GridRequest:
    """What a grid has to know beyond its trials.

    Attributes:
        experiment: where the records go.
        data_root: where the datasets lie, on every host.
        address: of a Ray cluster; None starts one on this machine.
        stall_s: seconds without a step or an event after which a trial counts as hung.
        node_timeout_s: seconds to wait for a host when none can run what is left.
        known: complete records, from which running times are estimated.
    """

    experiment: Experiment
    data_root: Path
    address: str | None = None
    stall_s: float = STALL_S
    node_timeout_s: float = NODE_TIMEOUT_S
    known: Sequence[TrialRecord] = ()


class GridRun:
    """A grid under way on a connected Ray cluster.

    Args:
        trials: the trials to run, in this order.
        request: where the records go and the data lie.
    """

    def __init__(self, trials: Sequence[TrialSpec], request: GridRequest) -> None:
        self.trials = trials
        self._request = request
        self._board_name = f"raybench-{secrets.token_hex(4)}"
        # Beside the driver: on another host it would die with that.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board: Any = (
            ray.remote(Board)
            .options(num_cpus=0, name=self._board_name, scheduling_strategy=here)
            .remote()
        )
        self._watch = HostWatch(trials, request.node_timeout_s)
        self.stranded: str | None = None
        self._stopper = StopAll()
        self._order = RunningOrder(trials, Estimates(request.known))
        self._states: dict[str, TrialState] = {}
        self._changes = 0
        self._results: list[Any] = []
        self._error: BaseException | None = None
        self._started_at = time.strftime("%Y%m%d-%H%M%S")
        self._thread = threading.Thread(target=self._fit, name="tune")

    def start(self) -> None:
        """Hand the trials to Tune."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end, at most ``timeout_s``; return whether the grid has ended.

        A grid that only hosts could go on with that are gone is stopped; ``stranded`` says why.
        """
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            return True
        if self.stranded is None:
            ended = {name for name, state in self.states().items() if state.phase in ENDED}
            self.stranded = self._watch.look(ended, cluster_hosts(), time.monotonic())
            if self.stranded:
                self.stop()
        return False

    def states(self) -> dict[str, TrialState]:
        """Return how far each started trial is."""
        self._changes, news = ray.get(self._board.news.remote(self._changes))
        self._states.update(news)
        return self._states

    def stop(self) -> None:
        """Let running trials record how far they came, and start no more."""
        self._stopper.stopped = True
        ray.get(self._board.stop.remote())

    def results(self) -> list[Any]:
        """Return Tune's ResultGrids of the ended grid: one, or several of a large plan.

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
        except Exception as error:  # noqa: BLE001 - raised again by result(), in the caller's thread
            self._error = error

    def _tuner(self) -> tune.Tuner:
        request = self._request
        count = min(self._order.left, MOST_TRIALS)
        # The plan's own order decides what is pending.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(count)
        storage = request.experiment.folder / "tune"
        storage.mkdir(parents=True, exist_ok=True)
        return tune.Tuner(
            tune.with_resources(
                TrialActor, lambda config: tune.PlacementGroupFactory([config["resources"]])
            ),
            param_space={
                "results": str(request.experiment.folder.parent.absolute()),
                "experiment": request.experiment.name,
                "data_root": str(request.data_root.absolute()),
                "stall_s": request.stall_s,
                "board": self._board_name,
            },
            tune_config=tune.TuneConfig(
                num_samples=count,
                search_alg=PlanOrder(self._order, self._board_name),
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=f"{self._started_at}-{len(self._results) + 1}",
                storage_path=str(storage.absolute()),
                stop=self._stopper,
                callbacks=[LostTrials(self.trials, request.experiment, self._board_name)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )


def check_cluster(trials: Sequence[TrialSpec], address: str | None) -> None:
    """Refuse a plan that the connected cluster can never run.

    Raises:
        ClusterError: naming what is asked for, and what there is.
    """
    check_placeable(
        trials, cluster_hosts(), f"the Ray cluster {address}" if address else "this machine"
    )


def run_grid(trials: Sequence[TrialSpec], request: GridRequest) -> list[Any]:
    """Run trials on the connected cluster, wait for them, and return Tune's ResultGrids.

    There is one for every ``MOST_TRIALS`` trials.

    Raises:
        ClusterError: the cluster can never run a trial, or no more, or Ray itself failed.
    """
    check_cluster(trials, request.address)
    run = GridRun(trials, request)
    run.start()
    while not run.wait(1.0):
        continue
    if run.stranded:
        raise ClusterError(run.stranded, hint="bring such a host back and run the rest")
    return run.results()
