"""Ray on all nodes of a Slurm job, as the batch script sees it: one step, started and awaited."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from raybench.errors import ClusterError
from raybench.launch.batch.control import JobLog, Signals
from raybench.slurm.environment import StepEnvironment, for_step
from raybench.system.ray_gcs import joined_nodes, ray_nodes

NODES_STOP_S = 20.0
"""Of the 30 s that Slurm allows after ``scancel``."""

SHOWN_LINES = 25
"""Of the log of a node that did not join."""


def srun_command(nodes: Sequence[str], components: int, logs: Path, script: Path) -> list[str]:
    """Return the command that runs a script once on each node of the job.

    Args:
        nodes: the job's nodes.
        components: of how many components the job consists.
        logs: the folder of the nodes' logs.
        script: what to run.
    """
    command = ["srun", "--overlap", "--ntasks-per-node=1", "--cpu-bind=none", "--mem=0"]
    command += ["--no-kill", "--kill-on-bad-exit=0", f"--output={logs}/%N.log"]
    if components > 1:
        command.append("--het-group=" + ",".join(map(str, range(components))))
    else:
        command += [f"--nodes={len(nodes)}", f"--ntasks={len(nodes)}"]
    return [*command, str(script)]


class Step:
    """Ray on all nodes of this job, as one Slurm step.

    Args:
        nodes: the job's nodes.
        components: of how many components the job consists.
        script: what each node runs, ``node.sh``.
        environment: what the nodes are told.
        log: the batch script's log.
    """

    def __init__(
        self,
        *,
        nodes: Sequence[str],
        components: int,
        script: Path,
        environment: StepEnvironment,
        log: JobLog,
    ) -> None:
        self.nodes, self.environment, self.log = nodes, environment, log
        self.node_logs = environment.logs / "nodes"
        shutil.rmtree(self.node_logs, ignore_errors=True)
        self.node_logs.mkdir(parents=True)
        for old in (*environment.state.glob("failed-*"), *environment.state.glob("joined-*")):
            old.unlink()
        self._process = subprocess.Popen(
            srun_command(nodes, components, self.node_logs, script),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=for_step(os.environ, environment),
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
            raise self._not_joined(missing, f"did not join; srun ended ({self._process.poll()})")
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


def count(number: int, noun: str) -> str:
    """Return ``1 node`` or ``3 nodes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
