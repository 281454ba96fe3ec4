"""The user of a real Slurm of three hosts on this machine, which virtual_slurm.sh starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("virtual_slurm.sh")
STATE = Path("/run/raybench-virtual-slurm")
HOSTS = {"p100": ["p100-1", "p100-2"], "k80": ["k80-1"]}
LEFT_BY_SLURM = ("tini", "slurmd", "slurmstepd", "ps")

TINY = """
name: tiny
model: resnet18
dataset: digits
hardware: [P100, K80]
epochs: 1
image_size: 32
num_workers: 0
train_limit: 20
eval_limit: 10
"""


def absent() -> str | None:
    """What the virtual cluster needs and this machine lacks."""
    if os.geteuid() != 0:
        return "not root"
    lacking = [
        program
        for program in (
            "slurmctld",
            "slurmd",
            "sbatch",
            "munged",
            "tini",
            "ip",
            "nsenter",
            "openssl",
        )
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None
    ]
    return f"not installed: {', '.join(lacking)}" if lacking else None


@dataclass(kw_only=True)
class Job:
    """A Slurm job."""

    number: str
    folder: Path
    say: Callable[[str], None]
    environ: dict[str, str]

    @property
    def log(self) -> str:
        path = self.folder / f"raybench-{self.number}.log"
        return path.read_text() if path.exists() else ""

    def facts(self) -> dict[str, str]:
        shown = call(["scontrol", "show", "job", "-o", self.number], self.environ).splitlines()[0]
        return dict(re.findall(r"(\S+?)=(\S*)", shown))

    def state(self) -> str:
        return self.facts()["JobState"]

    def wait_for(self, what: str, condition: Callable[[], Any], limit_s: float = 120) -> Any:
        """Wait until a condition holds, and return what it is; fail if the job ends before."""
        began = time.monotonic()
        while not (value := condition()):
            ended = self.state() not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
            if ended and not condition():
                raise AssertionError(f"job {self.number} ended before: {what}\n{self.log}")
            if time.monotonic() - began > limit_s:
                raise AssertionError(f"not within {limit_s} s: {what}\n{self.log}")
            time.sleep(0.2)
        self.say(f"job {self.number}: waited {time.monotonic() - began:.1f} s for {what}")
        return value

    def assert_ends_as(self, wanted: str, limit_s: float = 180) -> None:
        """Wait for the end, and show the job's log if it is not the one that is wanted."""
        state = self.wait_for_end(limit_s)
        assert state == wanted, f"job {self.number} ended as {state}\n{self.log}"

    def wait_for_end(self, limit_s: float = 180) -> str:
        """Wait until the job has left its hosts, and return Slurm's final state of it."""

        def ended() -> str | None:
            state = self.state()
            queued = call(["squeue", "-h", "-j", self.number, "-t", "all"], self.environ)
            running = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
            return None if state in running or " CG " in queued else state

        return str(self.wait_for("its end", ended, limit_s))

    def wait_for_log(self, text: str, limit_s: float = 120) -> str:
        return str(
            self.wait_for(
                f"{text!r} in its log", lambda: self.log if text in self.log else "", limit_s
            )
        )

    def cancel(self, *options: str) -> None:
        call(["scancel", *options, self.number], self.environ)


def call(command: Sequence[str], environ: dict[str, str], limit_s: float = 60) -> str:
    return subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True, timeout=limit_s
    ).stdout


@dataclass(kw_only=True)
class Slurm:
    """The virtual cluster, as its user sees it."""

    shared: Path
    say: Callable[[str], None]
    jobs: list[Job] = field(default_factory=list)

    @property
    def keeper(self) -> dict[str, str]:
        """The environment of who keeps the virtual cluster."""
        shared = ":".join(paths_below_tmp(self.shared))
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        names = {"PATH": path, "VIRTUAL_SLURM_STATE": str(STATE), "VIRTUAL_SLURM_SHARED": shared}
        return {**os.environ, **names}

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the user on a login node: nothing of this test's own.

        Except which raybench it is: this checkout's, whatever the Python has installed.
        """
        return {
            "PYTHONPATH": str(REPOSITORY),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.shared / "home"),
            "SLURM_CONF": str(STATE / "etc" / "slurm.conf"),
            "LANG": "C.UTF-8",
        }

    def submit(
        self, script: str, *arguments: str, options: Sequence[str] = (), **settings: str
    ) -> Job:
        """Submit ``cluster/<script>`` from a folder of its own, with a site.env of its own."""
        folder = Path(tempfile.mkdtemp(prefix="job-", dir=self.shared))
        (folder / "tiny.yaml").write_text(TINY)
        activate = folder / "environment.sh"
        activate.write_text(f"export PATH={Path(sys.executable).parent}:/usr/bin:/bin\n")
        site = {
            "RAYBENCH_ENVIRONMENT": str(activate),
            "RAYBENCH_SIMULATED_GPU": "1",
            "RAYBENCH_RESULTS": str(folder / "results"),
            **settings,
        }
        site_env = folder / "site.env"
        site_env.write_text("".join(f"{name}={value}\n" for name, value in site.items()))
        environ = {**self.environ, "RAYBENCH_SITE": str(site_env)}
        command = ["sbatch", "--parsable", f"--chdir={folder}", *options]
        command += [str(REPOSITORY / "cluster" / script), *arguments]
        number = call(command, environ).strip()
        self.say(
            f"job {number}: {' '.join(command[3 : -1 - len(arguments)])} {script} "
            f"{' '.join(arguments)}"
        )
        job = Job(number=number, folder=folder, say=self.say, environ=self.environ)
        self.jobs.append(job)
        return job

    def on(self, host: str, *command: str) -> str:
        return call(["bash", str(SCRIPT), "on", host, *command], self.keeper)

    @contextmanager
    def powered_off(self, host: str) -> Iterator[None]:
        """Take a host's power away, all at once; afterwards, wait until Slurm uses it again."""
        call(["bash", str(SCRIPT), "kill", host], self.keeper)
        self.say(f"{host} is powered off")
        try:
            yield
        finally:
            self._wait_for_state(host, "DOWN+NOT_RESPONDING")
            # The host outlives the script, and would hold a pipe open.
            with (self.shared / "start.log").open("w") as log:
                start = ["bash", str(SCRIPT), "start", host]
                subprocess.run(start, env=self.keeper, check=True, stdout=log, stderr=log)
            self._wait_for_state(host, "IDLE")

    def _wait_for_state(self, host: str, wanted: str) -> None:
        deadline = time.monotonic() + 60
        # Not from sinfo, which takes a host that a job has lost for one that it still has.
        show = ["scontrol", "show", "node", "-o", host]
        while f" State={wanted} " not in (facts := call(show, self.environ)):
            assert time.monotonic() < deadline, f"{host} is not {wanted}:\n{facts}"
            time.sleep(0.2)

    def processes(self, host: str) -> list[str]:
        """The command lines of what runs on a host, Slurm's own left out."""
        lines = self.on(host, "ps", "-eo", "comm=,args=").splitlines()
        return [line for line in lines if line.split()[0] not in LEFT_BY_SLURM]

    def temporary_files(self, host: str) -> list[str]:
        """What lies in a host's own /tmp."""
        shared = {Path(path).parts[2] for path in paths_below_tmp(self.shared)}
        return sorted(set(self.on(host, "ls", "-A", "/tmp").split()) - shared)

    def assert_nothing_left(self, job: Job, hosts: Sequence[str]) -> None:
        job.wait_for_end()
        for host in hosts:
            # Slurm calls a job ended when it has signalled its processes, not when they are gone.
            deadline = time.monotonic() + 30
            while left := [*self.processes(host), *self.temporary_files(host)]:
                assert time.monotonic() < deadline, (host, left)
                time.sleep(0.2)
        assert not (self.shared / "home" / ".raybench" / f"job-{job.number}").exists()


def paths_below_tmp(shared: Path) -> list[str]:
    paths = {str(Path(path).resolve()) for path in (sys.prefix, REPOSITORY, shared)}
    return sorted(path for path in paths if path.startswith("/tmp/"))


def records(results: Path) -> list[dict[str, Any]]:
    """The records of all experiments of a results folder."""
    return [json.loads(path.read_text()) for path in sorted(results.glob("*/records/*.json"))]
