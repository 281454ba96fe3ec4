"""The plan on Ray Tune: each trial in a clean process, placed by custom resources.

The only module that imports ray.tune. A Tune trial's actor asks for the trial's process and
relays its reports; it can be reused, whatever became of the process. What a trial is worth is
judged by its record, never by Tune's state of it.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Read by Tune when it is imported: its own files of results, which nobody reads, and its own
# display are off.
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raybench.errors import ClusterError
from raybench.estimate import Estimates
from raybench.ordering import RunningOrder
from raybench.placement import HOST_TIMEOUT_S, HostWatch, check_placeable
from raybench.ray_session import cluster_hosts, host_is_leaving
from raybench.record import ErrorFacts, TrialRecord
from raybench.spec import TrialSpec, trial_spec
from raybench.store import Experiment
from raybench.worker import (
    ENDED,
    STALL_S,
    TrialProcess,
    TrialRequest,
    TrialState,
    unfinished_record,
)

MOST_TRIALS = 2000
"""Trials of one Tune experiment; a larger plan becomes several, one after the other.

Tune keeps each trial's last result in its state, which it writes over and over.
"""

TELL_S = 0.5
"""How often a trial's actor tells the board how far it is."""


@dataclass(frozen=True, kw_only=True)
class GridRequest:
    """What a grid has to know beyond its trials.

    Attributes:
        experiment: where the records go.
        data_root: where the datasets lie, on every host.
        address: of a Ray cluster; None starts one on this machine.
        stall_s: seconds without a step or an event after which a trial counts as hung.
        host_timeout_s: seconds to wait for a host when none can run what is left.
        known: complete records, from which running times are estimated.
    """

    experiment: Experiment
    data_root: Path
    address: str | None = None
    stall_s: float = STALL_S
    host_timeout_s: float = HOST_TIMEOUT_S
    known: Sequence[TrialRecord] = ()


class Board:
    """A Ray actor that the trials write their progress on, and read from whether to stop."""

    def __init__(self) -> None:
        self._states: dict[str, TrialState] = {}
        self._changed: dict[str, int] = {}
        self._changes = 0
        self._stopping = False

    def tell(self, trial_id: str, state: TrialState) -> bool:
        """Note a trial's state; return whether trials shall stop."""
        self._changes += 1
        self._changed[trial_id] = self._changes
        self._states[trial_id] = state
        return self._stopping

    def state(self, trial_id: str) -> TrialState | None:
        """Return the state of a trial, or None before it has started."""
        return self._states.get(trial_id)

    def news(self, since: int) -> tuple[int, dict[str, TrialState]]:
        """Return the number of changes so far, and the states that changed after ``since``."""
        new = {name: self._states[name] for name, at in self._changed.items() if at > since}
        return self._changes, new

    def started(self, since: int) -> list[str]:
        """Return the trials that have started, in their order, but for the first ``since``."""
        return list(self._states)[since:]

    def stop(self) -> None:
        """Let all trials stop."""
        self._stopping = True


class TrialActor(tune.Trainable):
    """Asks for a trial's process and relays its epochs to Tune, one result an epoch.

    The last result holds the whole record. A trial that did not complete then raises, so that
    Tune shows it as an error too; so does one whose host leaves, lest its actor is used again.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take note of the trial. Its process starts with the first step, and not before.

        Tune may set a second actor up for a trial, and drop one of them without a step.
        """
        self._config = config
        self._spec = trial_spec(config["trial"])
        self._process: TrialProcess | None = None
        self._failed = ""
        self._told_s = 0.0
        self._reported = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take note of the next trial, whose process will come from the same server."""
        self.setup(new_config)
        return True

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
            process.wait(TELL_S)
            self._tell(process)

    def cleanup(self) -> None:
        """Stop the trial's process, if Tune stops the trial before its end."""
        if self._process is not None and not self._process.ended:
            self._process.interrupt()
            self._process.record()

    def _start(self) -> TrialProcess:
        config = self._config
        request = TrialRequest(
            spec=self._spec,
            results=Path(config["results"]),
            experiment=config["experiment"],
            data_root=Path(config["data_root"]),
            variables=dict(os.environ),
        )
        return TrialProcess(request, stall_s=config["stall_s"])

    def _final_result(self, process: TrialProcess) -> dict[str, Any]:
        try:
            record = process.record()
        finally:
            self._tell(process, last=True)
        if record.error is not None:
            self._failed = record.error.message
        elif host_is_leaving():
            # Tune would give this actor the next trial; it uses none again that has raised.
            self._failed = "the trial is complete, and its host leaves the cluster"
        last = record.epochs[-1].model_dump(mode="json") if record.epochs else {}
        return {
            **last,
            "running_time_s": record.running_time_s,
            "status": record.status,
            "record": record.model_dump(mode="json"),
            "done": record.status == "completed" and not self._failed,
        }

    def _tell(self, process: TrialProcess, last: bool = False) -> None:
        """Write on the board how far the trial is, and stop it if the board says so."""
        now = time.monotonic()
        if now - self._told_s < TELL_S and not last:
            return
        self._told_s = now
        board: Any = ray.get_actor(self._config["board"])
        stop: bool = ray.get(board.tell.remote(self._spec.trial_id, process.state))
        if stop and not process.ended:
            process.interrupt()


class NoMoreTrials(RuntimeError):
    """What Tune sees after the last result of a trial that failed, or whose host leaves."""


class _StopAll(Stopper):
    """Stops all trials, and starts no more, once ``stopped`` is set."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self, _trial_id: str, _result: dict[str, Any]) -> bool:
        return self.stopped

    def stop_all(self) -> bool:
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
        self._watch = HostWatch(trials, request.host_timeout_s)
        self.stranded: str | None = None
        self._stopper = _StopAll()
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
                cure="what is complete was kept; run the same command again for the rest",
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
                "results": str(request.experiment.root.absolute()),
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
        raise ClusterError(run.stranded, cure="bring such a host back and run the rest")
    return run.results()
