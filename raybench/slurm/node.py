"""Ray on one host of a Slurm job: started, watched, stopped, and nothing of it left.

``node.sh`` calls it, first as ``offer`` and then, in the environment for the GPUs, as ``start``.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

from raybench.errors import ClusterError, RaybenchError
from raybench.slurm.allocation import Offer, check_torch, gres_on_host, host_offer
from raybench.slurm.network import choose_ports, outward_address
from raybench.slurm.ray_start import ray_start_arguments, ray_variables
from raybench.slurm.workdir import check_temp_dir
from raybench.system.ray_gcs import JOB_LABEL, NODE_LABEL, ray_nodes
from raybench.system.verify import gpu_names

RAY_STOPS_S, TRIALS_STOP_S = 6.0, 3.0
"""How long Ray, and then what is left of its workers, may take to end; Slurm allows 30 s in all."""

STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
"""The batch script sends the first, Slurm the second."""

MARK = "RAYBENCH_HOST_RUN"
"""The variable by which everything that Ray started on this host for this job is known."""


ONLY_HERE = tuple(
    f"RAYBENCH_{name}"
    for name in (
        "BATCH_STARTED",
        "DASHBOARD",
        "HEAD",
        "HEAD_HOST",
        "HEAD_PORTS",
        "LOGS",
        "RUN",
        "STATE",
    )
)
"""What the batch script tells this one, and is of no concern to trials and their records."""


class Stop(BaseException):
    """Slurm asked this host to end."""


def main(command: str, *arguments: str) -> None:
    """Run one of ``offer``, ``start`` and ``ray``."""
    if command == "offer":
        print(json.dumps(vars(find_offer())))
    elif command == "start":
        start(Offer(**json.loads(arguments[0])))
    elif command == "ray":
        run_ray(list(arguments))


def find_offer() -> Offer:
    """Ask Slurm and NVML what this host has for the job."""
    details = subprocess.run(
        ["scontrol", "show", "job", "--details", os.environ["SLURM_JOB_ID"]],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    gres = gres_on_host(details, os.environ["SLURMD_NODENAME"])
    return host_offer(os.environ, gres, gpu_names())


def start(offer: Offer) -> None:
    """Start Ray and stay until Slurm, or Ray, ends."""
    host, head = os.environ["SLURMD_NODENAME"], os.environ["RAYBENCH_HEAD"]
    is_head = os.environ["RAYBENCH_HEAD_HOST"] == host
    say(f"{host}: {offer.cpus} CPUs, {offer.gpus} × {offer.label or 'no GPU'}")
    if offer.gpus and offer.verified and (problem := check_torch()):
        raise ClusterError(f"{host} does not join: {problem}")
    if offer.gpus and not offer.verified:
        say(f"no NVIDIA driver: {offer.label} is only what Slurm's GRES says, marked unverified")
        os.environ["RAYBENCH_UNVERIFIED_HARDWARE"] = "1"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    temp_dir = Path(os.environ.get("RAYBENCH_TMPDIR") or "/tmp", os.environ["RAYBENCH_RUN"])
    check_temp_dir(temp_dir)
    ports = own_ports(is_head)
    arguments = ray_start_arguments(
        offer=offer,
        ports=ports,
        own_address=own_address(head, is_head),
        head=head,
        is_head=is_head,
        dashboard=os.environ.get("RAYBENCH_DASHBOARD") == "1",
        temp_dir=temp_dir,
        labels={JOB_LABEL: os.environ["RAYBENCH_JOB"], NODE_LABEL: host},
    )
    logs = Path(os.environ["RAYBENCH_LOGS"], "ray", host)
    environment = os.environ | {MARK: str(temp_dir)} | ray_variables(temp_dir)
    for name in ONLY_HERE:
        environment.pop(name, None)
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    try:
        temp_dir.mkdir(mode=0o700)
        ray = [sys.executable, "-m", "raybench.slurm.node", "ray", *arguments]
        code = subprocess.Popen(ray, env=environment).wait()
        raise ClusterError(f"Ray ended on {host} with exit code {code}")
    except Stop:
        say("stopping")
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        end_processes(str(temp_dir))
        copy_logs(temp_dir, logs)
        for record in temp_dir.glob("raybench-*.json"):
            # A trial whose results folder could not be written left it here, as it said.
            shutil.move(record, temp_dir.parent)
        shutil.rmtree(temp_dir, ignore_errors=True)
        say("stopped")


def own_ports(is_head: bool) -> dict[str, int]:
    """Return this host's ports; the head's were chosen by the batch script, which runs there."""
    if is_head:
        return dict(json.loads(os.environ["RAYBENCH_HEAD_PORTS"]))
    return choose_ports(int(os.environ["RAYBENCH_JOB"]))


def own_address(head: str, is_head: bool) -> str:
    """Return the address under which the other hosts reach this one."""
    address = head.rpartition(":")[0]
    return address if is_head else outward_address(address)


def run_ray(arguments: list[str]) -> None:
    """Be ``ray start``, which first waits for the head, with Ray imported in the meantime."""
    from ray.scripts.scripts import main as ray

    for argument in arguments:
        if argument.startswith("--address="):
            while not ray_nodes(argument.partition("=")[2]):
                time.sleep(0.1)
    sys.argv = ["ray", *arguments]
    ray()


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that Ray started here for this job."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def end_processes(mark: str) -> None:
    """End this job's processes on this host, Ray before its workers, and no other's."""
    ray = [process for process in psutil.Process().children() if process.is_running()]
    for process in ray:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(ray, timeout=RAY_STOPS_S)
    rest = marked(mark)
    for process in rest:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(rest, timeout=TRIALS_STOP_S)
    while rest := marked(mark):
        for process in rest:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(rest, timeout=1)


def copy_logs(temp_dir: Path, destination: Path) -> None:
    """Copy Ray's logs to the results; what cannot be copied is named and costs nothing else."""
    try:
        for logs in temp_dir.glob("session_2*/logs"):
            shutil.copytree(logs, destination, dirs_exist_ok=True, ignore_dangling_symlinks=True)
    except (shutil.Error, OSError) as error:
        say(f"not all of Ray's logs could be copied: {error}")


def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
    """Leave the wait for Ray."""
    raise Stop


def say(text: str) -> None:
    """Write a line to this host's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RaybenchError as error:
        print(f"raybench: {error}", file=sys.stderr, flush=True)
        # The batch script sees this file, and shows the end of this host's log.
        Path(os.environ["RAYBENCH_STATE"], f"failed-{os.environ['SLURMD_NODENAME']}").touch()
        sys.exit(error.exit_code)
