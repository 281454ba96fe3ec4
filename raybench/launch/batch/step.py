"""Ray on all nodes of a job, as its batch script sees it: one step, started and awaited."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from raybench.errors import ClusterError, count
from raybench.launch.batch.control import JobLog, Signals
from raybench.system.ray_gcs import joined_nodes, ray_nodes

NODES_STOP_S = 20.0
"""Of the 30 s that Slurm allows after ``scancel``."""

SHOWN_LINES = 25
"""Of the log of a node that did not join."""

_STEP, _STATE, _STARTED = "RAYBENCH_STEP", "RAYBENCH_STATE", "RAYBENCH_BATCH_STARTED"


class StepEnvironment(BaseModel):
    """What the batch script tells the step that starts Ray on each node.

    Attributes:
        job: the scheduler's id of the job.
        run: a name that no other run has, for folders.
        head: ``address:port`` of the cluster.
        head_node: the node that is to be the head; empty if it is in another job.
        head_ports: the head's ports, by service.
        dashboard: whether the head takes jobs.
        state: the job's private folder, on a file system that all nodes share.
        logs: the folder of the run's logs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    run: str
    head: str
    head_node: str
    head_ports: dict[str, int]
    dashboard: bool
    state: Path
    logs: Path

    def variables(self) -> dict[str, str]:
        """Return the environment variables that hold it; the second is for the node's script."""
        return {_STEP: self.model_dump_json(), _STATE: str(self.state)}

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> StepEnvironment:
        """Read it.

        Raises:
            ClusterError: this is not inside the step that the batch script starts.
        """
        if _STEP not in environ:
            raise ClusterError(f"{_STEP} is not set: this runs on the nodes of a batch job only")
        return cls.model_validate_json(environ[_STEP])

    def joined(self, node: str) -> Path:
        """Return the file that says that the batch script has seen a node in the cluster."""
        return self.state / f"joined-{node}"

    def failed(self, node: str) -> Path:
        """Return the file that says that a node does not join."""
        return self.state / f"failed-{node}"

    @contextmanager
    def failure_is_seen(self, node: str) -> Iterator[None]:
        """Let the batch script know at once if this node fails, whatever it is."""
        try:
            yield
        except BaseException:
            self.failed(node).touch()
            raise


def for_ray(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Ray and of trials, without what only starts them."""
    return {n: value for n, value in environ.items() if n not in (_STEP, _STATE, _STARTED)}


class Step:
    """Ray on all nodes of this job.

    Args:
        command: runs the node's script once on each node, with its output in ``node_logs``.
        nodes: the job's nodes.
        environment: what the nodes are told.
        inherited: what else their processes inherit.
        log: the batch script's log.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        nodes: Sequence[str],
        environment: StepEnvironment,
        inherited: Mapping[str, str],
        log: JobLog,
    ) -> None:
        self.nodes, self.environment, self.log = nodes, environment, log
        self.node_logs = node_logs(environment.logs)
        shutil.rmtree(self.node_logs, ignore_errors=True)
        self.node_logs.mkdir(parents=True)
        for old in (*environment.state.glob("failed-*"), *environment.state.glob("joined-*")):
            old.unlink()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**inherited, **environment.variables()},
        )

    @property
    def has_ended(self) -> bool:
        """Whether Ray has ended on all nodes."""
        return self._process.poll() is not None

    def wait(self, signals: Signals) -> None:
        """Wait a second.

        Raises:
            Interrupted: the job is to end.
            ClusterError: Ray has ended on all nodes.
        """
        signals.check()
        if self.has_ended:
            raise ClusterError(f"Ray has ended on all nodes; see {self.node_logs}")
        time.sleep(1)

    def wait_until_joined(self, signals: Signals, limit_s: float) -> None:
        """Wait until every node is in the cluster.

        Args:
            signals: what the job is asked meanwhile.
            limit_s: seconds that this may take, from the beginning of the batch script.

        Raises:
            Interrupted: the job is to end.
            ClusterError: one failed, or the time is over; the message has the end of its log.
        """
        missing = list(self.nodes)
        while missing:
            signals.check()
            has_ended = self.has_ended
            joined = joined_nodes(ray_nodes(self.environment.head), self.environment.job)
            for node in [name for name in missing if name in joined]:
                missing.remove(node)
                self.environment.joined(node).touch()
                self.log.say(
                    f"{node} joined ({len(self.nodes) - len(missing)} of {len(self.nodes)})"
                )
            self._check(missing, limit_s, has_ended)
            time.sleep(0.1 if missing else 0)
        self.log.say(
            f"{count(len(self.nodes), 'node')} joined {self.log.elapsed_s:.1f} s "
            "after the batch script began"
        )

    def _check(self, missing: list[str], limit_s: float, has_ended: bool) -> None:
        failed = [name for name in missing if self.environment.failed(name).exists()]
        if failed:
            raise self._not_joined(failed, "did not start Ray")
        if missing and has_ended:
            raise self._not_joined(
                missing, f"did not join; the step ended ({self._process.poll()})"
            )
        if missing and self.log.elapsed_s > limit_s:
            raise self._not_joined(missing, f"did not join within {limit_s:g} s")

    def _not_joined(self, names: list[str], what: str) -> ClusterError:
        lines = [f"{', '.join(names)} {what}"]
        for name in names:
            log = self.node_logs / f"{name}.log"
            text = log.read_text(errors="replace").splitlines() if log.exists() else []
            lines += [f"--- the end of {log}", *(text[-SHOWN_LINES:] or ["(nothing)"])]
        return ClusterError("\n".join(lines), hint="see the log above, and docs/slurm.md")

    def stop(self) -> None:
        """End Ray on every node and wait until each has cleaned up."""
        if self.has_ended:
            return
        # srun passes this signal on; at SIGTERM it would kill the tasks by itself.
        self._process.send_signal(signal.SIGUSR1)
        try:
            self._process.wait(NODES_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def node_logs(logs: Path) -> Path:
    """Return the folder of the nodes' own logs, ``<node>.log``."""
    return logs / "nodes"
