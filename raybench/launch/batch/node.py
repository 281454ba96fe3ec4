"""Ray on one node of a batch job: started, watched, stopped, and nothing of it left."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from raybench.errors import ClusterError
from raybench.launch.batch.ray_start import ray_variables
from raybench.system.ray_logs import log_end

RAY_STOPS_S, TRIALS_STOP_S = 6.0, 3.0
"""How long Ray, and then what is left of its workers, may take to end; Slurm allows 30 s in all."""

STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
"""The batch script sends the first, the scheduler the second."""

MARK = "RAYBENCH_NODE_RUN"
"""The variable by which everything that Ray started on this node for this job is known."""

RAY_START = (sys.executable, "-m", "raybench.launch.batch.ray_start")


class Stop(BaseException):
    """The scheduler asked this node to end."""


@dataclass(frozen=True, kw_only=True)
class NodeRun:
    """Ray on this node, from its start to its end.

    Attributes:
        node: this node's name in the scheduler.
        temp_dir: a folder of the node's own, with a short path, that does not exist yet.
        logs: where Ray's logs are copied in the end.
        joined: a file that the batch script leaves once it has seen this node in the cluster.
        variables: the environment of Ray and its workers.
        arguments: gives the arguments of ``ray start``, anew for each start: ports may be taken.
        say: writes a line to this node's log.
        ray_start: the program that takes them.
    """

    node: str
    temp_dir: Path
    logs: Path
    joined: Path
    variables: Mapping[str, str]
    arguments: Callable[[], Sequence[str]]
    say: Callable[[str], None]
    ray_start: Sequence[str] = RAY_START

    def stay(self) -> None:
        """Start Ray and stay until the scheduler, or Ray, ends; then clean up.

        A Ray that ends before it is in the cluster, as happens on a busy machine, is started once
        more.

        Raises:
            ClusterError: Ray ended by itself; the message has the end of raylet's log.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, _stop)
        try:
            code = self._run_ray()
            if not self.joined.exists():
                self.say(f"{self._ended(code)}\nit did not start, and is tried once more")
                self._clear(self.logs / "first-start")
                code = self._run_ray()
            raise ClusterError(self._ended(code))
        except Stop:
            self.say("stopping")
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._clear(self.logs)
            self.say("stopped")

    def _run_ray(self) -> int:
        self.temp_dir.mkdir(mode=0o700)
        command = [*self.ray_start, *self.arguments()]
        variables = {MARK: str(self.temp_dir), **ray_variables(self.temp_dir)}
        return subprocess.Popen(command, env={**self.variables, **variables}).wait()

    def _ended(self, code: int) -> str:
        what = f"Ray ended on {self.node} with exit code {code}"
        return "\n".join(filter(None, [what, log_end(self.temp_dir)]))

    def _clear(self, logs: Path) -> None:
        end_processes(str(self.temp_dir))
        try:
            for folder in self.temp_dir.glob("session_2*/logs"):
                shutil.copytree(folder, logs, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        except (shutil.Error, OSError) as error:
            self.say(f"not all of Ray's logs could be copied: {error}")
        for record in self.temp_dir.glob("raybench-*.json"):
            # A trial whose results folder could not be written left it here, as it said.
            shutil.move(record, self.temp_dir.parent)
        shutil.rmtree(self.temp_dir, ignore_errors=True)


def allow_open_files() -> None:
    """Let this process and its children open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
