"""Ray on all hosts of a Slurm job, as the batch script sees it: one step, started and awaited."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from raybench.errors import ClusterError, RaybenchError
from raybench.slurm.allocation import expand_hosts
from raybench.system.ray_gcs import joined_nodes, ray_nodes

HOME = Path(os.environ["RAYBENCH_HOME"])
STARTED = float(os.environ.get("RAYBENCH_BATCH_STARTED") or time.time())
HOSTS_STOP_S = 20.0
"""Of the 30 s that Slurm allows after ``scancel``."""


class Signals:
    """What Slurm asked this job: nothing yet, to end soon (USR1), or to end now (TERM)."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.on_signal: Callable[[int], None] | None = None
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.received = number
        say(f"received {signal.Signals(number).name}")
        if self.on_signal is not None:
            self.on_signal(number)

    def check(self) -> None:
        """Raise if the job is to end."""
        if self.received is not None:
            raise Interrupted


class Interrupted(RaybenchError):
    """Slurm or the user ended the job."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("the job was ended")


class Hosts:
    """Ray on all hosts of this job, as one Slurm step."""

    def __init__(
        self, head: str, head_host: str, logs: Path, state: Path, **variables: str
    ) -> None:
        self.job = os.environ["SLURM_JOB_ID"]
        self.head, self.logs, self.state = head, logs, state
        self.names, self.het_groups = allocation()
        shutil.rmtree(logs / "hosts", ignore_errors=True)
        (logs / "hosts").mkdir(parents=True)
        for old in state.glob("failed-*"):
            old.unlink()
        # What the batch script was given says how many CPUs and tasks its own steps would have;
        # Ray takes all that the job has on each host.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM_CPUS_PER", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_MEM_"))
        }
        self.step = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=inherited
            | variables
            | {
                "RAYBENCH_JOB": self.job,
                "RAYBENCH_RUN": f"rb{self.job}-{secrets.token_hex(4)}",
                "RAYBENCH_HEAD": head,
                "RAYBENCH_HEAD_HOST": head_host,
                "RAYBENCH_STATE": str(state),
                "RAYBENCH_LOGS": str(logs),
            },
        )

    def _command(self) -> list[str]:
        command = ["srun", "--overlap", "--ntasks-per-node=1", "--cpu-bind=none", "--mem=0"]
        command += ["--no-kill", "--kill-on-bad-exit=0", f"--output={self.logs}/hosts/%N.log"]
        if self.het_groups > 1:
            command.append("--het-group=" + ",".join(map(str, range(self.het_groups))))
        else:
            command += [f"--nodes={len(self.names)}", f"--ntasks={len(self.names)}"]
        return [*command, str(HOME / "cluster" / "node.sh")]

    def wait_until_joined(self, signals: Signals) -> None:
        """Wait until every host is in the cluster.

        Raises:
            ClusterError: one failed, or the time is over; the message has the end of its log.
        """
        limit_s = float(os.environ.get("RAYBENCH_START_TIMEOUT_S") or 120)
        missing = list(self.names)
        while missing:
            signals.check()
            joined = joined_nodes(ray_nodes(self.head), self.job)
            for host in [name for name in missing if name in joined]:
                missing.remove(host)
                say(f"{host} joined ({len(self.names) - len(missing)} of {len(self.names)})")
            failed = [name for name in missing if (self.state / f"failed-{name}").exists()]
            if failed:
                raise self._not_joined(failed, "did not start Ray")
            if missing and self.step.poll() is not None:
                raise self._not_joined(missing, f"did not join; srun ended ({self.step.poll()})")
            if missing and elapsed_s() > limit_s:
                raise self._not_joined(missing, f"did not join within {limit_s:g} s")
            if missing:
                time.sleep(0.1)
        say(f"{len(self.names)} hosts joined {elapsed_s():.1f} s after the batch script began")

    def _not_joined(self, names: list[str], what: str) -> ClusterError:
        lines = [f"{', '.join(names)} {what}"]
        for name in names:
            log = self.logs / "hosts" / f"{name}.log"
            text = log.read_text(errors="replace").splitlines() if log.exists() else []
            lines += [f"--- the end of {log}", *(text[-15:] or ["(nothing)"])]
        return ClusterError("\n".join(lines), hint="see the log above and cluster/README.md")

    def stop(self) -> None:
        """End Ray on every host and wait until each has cleaned up."""
        if self.step.poll() is None:
            # srun passes this signal on; at SIGTERM it would kill the tasks by itself.
            self.step.send_signal(signal.SIGUSR1)
            try:
                self.step.wait(HOSTS_STOP_S)
            except subprocess.TimeoutExpired:
                self.step.kill()
                self.step.wait()


def allocation() -> tuple[list[str], int]:
    """Return the hosts of this job, and of how many components it consists."""
    size = int(os.environ.get("SLURM_HET_SIZE") or 1)
    if size == 1:
        return expand_hosts(os.environ["SLURM_JOB_NODELIST"]), 1
    groups = [os.environ[f"SLURM_JOB_NODELIST_HET_GROUP_{group}"] for group in range(size)]
    return [host for names in groups for host in expand_hosts(names)], size


def elapsed_s() -> float:
    """Return the seconds since the batch script began."""
    return time.time() - STARTED


def say(text: str) -> None:
    """Write a line to the job's log, with the seconds since the batch script began."""
    print(f"[{elapsed_s():6.1f} s] {text}", flush=True)
