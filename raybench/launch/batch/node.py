"""Ray on one node of a batch job: started, watched, stopped, and nothing of it left."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from raybench.errors import ClusterError
from raybench.launch.batch.network import choose_ports, outward_address
from raybench.launch.batch.ray_start import ray_start_arguments, ray_variables
from raybench.launch.batch.resources import NodeResources, check_torch
from raybench.launch.batch.step import StepEnvironment, for_ray
from raybench.launch.ray_folder import RayFolder
from raybench.settings import Settings
from raybench.system.ray_gcs import JOB_LABEL, NODE_LABEL
from raybench.system.ray_logs import log_end
from raybench.system.verify import UNVERIFIED_HARDWARE

RAY_STOPS_S, TRIALS_STOP_S = 6.0, 3.0
"""How long Ray, and then what is left of its workers, may take to end; Slurm allows 30 s in all."""

STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
"""The batch script sends the first, the scheduler the second."""

MARK = "RAYBENCH_NODE_RUN"
"""The variable by which everything that Ray started on this node for this job is known."""

RAY_START = (sys.executable, "-m", "raybench.launch.batch.ray_start")


class Stop(BaseException):
    """The scheduler asked this node to end."""


def start(resources: NodeResources, node: str, environ: Mapping[str, str]) -> None:
    """Start Ray and stay until the scheduler, or Ray, ends.

    Args:
        resources: what this node offers.
        node: its name in the scheduler.
        environ: the environment of the step's task on it.

    Raises:
        HardwareError: torch cannot use the GPUs.
        ClusterError: Ray does not start, or ended.
    """
    step = StepEnvironment.read(environ)
    with step.failure_is_seen(node):
        say(f"{node}: {resources}")
        variables = for_ray(environ)
        if resources.gpus and resources.verified:
            check_torch()
        elif resources.gpus:
            say(f"no NVIDIA driver: only the scheduler says {resources.label}; marked unverified")
            variables[UNVERIFIED_HARDWARE] = "1"
        # As many open files as the system allows.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        NodeRun(resources=resources, node=node, step=step, variables=variables).stay()


@dataclass(frozen=True, kw_only=True)
class NodeRun:
    """Ray on this node, from its start to its end.

    Attributes:
        resources: what this node offers.
        node: its name in the scheduler.
        step: what the batch script told.
        variables: the environment of Ray and its workers.
        ray_start: the program that takes the arguments of ``ray start``.
    """

    resources: NodeResources
    node: str
    step: StepEnvironment
    variables: Mapping[str, str]
    ray_start: Sequence[str] = RAY_START

    @property
    def folder(self) -> RayFolder:
        """Where Ray keeps its files on this node."""
        return RayFolder(Settings().tmpdir / self.step.run)

    def stay(self) -> None:
        """Start Ray and stay until the scheduler, or Ray, ends; then clean up.

        A Ray that ends before it is in the cluster, as happens on a busy machine, is started once
        more.

        Raises:
            ClusterError: Ray ended by itself; the message has the end of raylet's log.
        """
        self.folder.check()
        for number in STOP_SIGNALS:
            signal.signal(number, _stop)
        logs = self.step.logs / "ray" / self.node
        try:
            code = self._run_ray()
            if not self.step.joined(self.node).exists():
                say(f"{self._ended(code)}\nit did not start, and is tried once more")
                self._clear(logs / "first-start")
                code = self._run_ray()
            raise ClusterError(self._ended(code))
        except Stop:
            say("stopping")
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._clear(logs)
            say("stopped")

    def arguments(self) -> list[str]:
        """Return the arguments of ``ray start``, anew for each start: ports may be taken."""
        is_head = self.node == self.step.head_node
        head_address = self.step.head.rpartition(":")[0]
        return ray_start_arguments(
            resources=self.resources,
            # The head's were chosen by the batch script, which runs there.
            ports=self.step.head_ports if is_head else choose_ports(int(self.step.job)),
            own_address=head_address if is_head else outward_address(head_address),
            head=self.step.head,
            is_head=is_head,
            dashboard=self.step.dashboard,
            temp_dir=self.folder.ray,
            labels={JOB_LABEL: self.step.job, NODE_LABEL: self.node},
        )

    @property
    def _mark(self) -> str:
        return str(self.folder.path)

    def _run_ray(self) -> int:
        self.folder.create()
        variables = {MARK: self._mark, **ray_variables(self.folder)}
        command = [*self.ray_start, *self.arguments()]
        return subprocess.Popen(command, env={**self.variables, **variables}).wait()

    def _ended(self, code: int) -> str:
        what = f"Ray ended on {self.node} with exit code {code}"
        return "\n".join(filter(None, [what, log_end(self.folder.ray)]))

    def _clear(self, logs: Path) -> None:
        end_processes(self._mark)
        try:
            for folder in self.folder.ray.glob("session_2*/logs"):
                shutil.copytree(folder, logs, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        except (shutil.Error, OSError) as error:
            say(f"not all of Ray's logs could be copied: {error}")
        self.folder.remove()


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that Ray started here for this job."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def end_processes(mark: str) -> None:
    """End this job's processes on this node, Ray before its workers, and no other's."""
    ray = [process for process in psutil.Process().children() if process.is_running()]
    _end(ray, psutil.Process.terminate, RAY_STOPS_S)
    _end(marked(mark), psutil.Process.terminate, TRIALS_STOP_S)
    while rest := marked(mark):
        _end(rest, psutil.Process.kill, 1)


def _end(
    processes: list[psutil.Process], how: Callable[[psutil.Process], None], limit_s: float
) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            how(process)
    psutil.wait_procs(processes, timeout=limit_s)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
    """Leave the wait for Ray."""
    raise Stop


def say(text: str) -> None:
    """Write a line to this node's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
