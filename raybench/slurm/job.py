"""The batch script's work: Ray on every host of the job, then the driver, the tables, the end.

    job.py start [SPEC.yaml] [-s key=value]... [--results DIR] [--wait-for LABEL]... | --hold
    job.py join JOBID

It runs on the job's first host, which is also the head of the Ray cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from raybench.catalog.datasets import check_present
from raybench.catalog.hardware import canonical_label
from raybench.errors import ClusterError, RaybenchError
from raybench.settings import workspace
from raybench.slurm.network import address_of_host, choose_ports
from raybench.slurm.step import HOME, Hosts, Interrupted, Signals, allocation, say
from raybench.slurm.workdir import (
    ClusterState,
    create_private_folder,
    create_token,
    state_root,
    token_variables,
)
from raybench.spec.grid import load_grid, parse_settings
from raybench.system.ray_gcs import JOB_LABEL, NODE_LABEL, RayNode, drain, gpus_by_label, ray_nodes

DRIVER_STOPS_S = 15.0
"""Slurm allows 30 s after ``scancel``, in which driver and hosts end at the same time."""


def start(arguments: argparse.Namespace, signals: Signals) -> int:
    """Run a cluster with a grid's driver, or hold it for single runs."""
    root = workspace(arguments.results).results.absolute()
    name = "runs"
    if not arguments.hold:
        # What cannot work is refused before any host starts.
        grid = load_grid(arguments.spec, parse_settings(arguments.settings))
        for dataset in dict.fromkeys(trial.dataset for trial in grid.plan()):
            check_present(dataset, workspace().data)
        name = grid.name
        say(f"{arguments.spec}: {len(grid.plan())} trials, results in {root / name}")
    job, host = os.environ["SLURM_JOB_ID"], os.environ["SLURMD_NODENAME"]
    with private_state(job) as state:
        os.environ |= token_variables(create_token(state))
        os.environ["RAYBENCH_RESULTS"] = str(root)
        ports = choose_ports(int(job))
        cluster_state = ClusterState(
            job=job,
            address=f"{head_address(host)}:{ports['gcs']}",
            dashboard=f"http://127.0.0.1:{ports['dashboard']}",
            head=host,
            results=str(root),
        )
        hosts = Hosts(
            cluster_state.address,
            host,
            root / name / f"slurm-{job}",
            state,
            RAYBENCH_HEAD_PORTS=json.dumps(ports),
            RAYBENCH_DASHBOARD="1" if arguments.hold else "0",
        )
        try:
            hosts.wait_until_joined(signals)
            cluster_state.write(state)
            nodes = ray_nodes(hosts.head)
            say(f"Ray at {hosts.head} has {describe(nodes)}")
            if arguments.hold:
                print(how_to_submit(cluster_state, state, nodes), flush=True)
                while True:
                    wait(signals, hosts)
            return run_grid(arguments, root, name, signals, hosts)
        finally:
            hosts.stop()
            say(f"Ray has ended; logs are in {hosts.logs}")


def run_grid(
    arguments: argparse.Namespace, root: Path, name: str, signals: Signals, hosts: Hosts
) -> int:
    """Run the grid's driver and leave its tables."""
    for label in arguments.wait_for:
        wait_for_hardware(label, signals, hosts)
    driver = [sys.executable, str(HOME / "experiments" / "grid.py"), str(arguments.spec)]
    driver += [part for setting in arguments.settings for part in ("-s", setting)]
    driver.append(f"--results={root}")
    code = run_driver(driver, signals, hosts)
    write_tables(root / name)
    return code


def join(arguments: argparse.Namespace, signals: Signals) -> int:
    """Add this job's hosts to the cluster of another job, until that ends or this one must."""
    theirs = state_folder(arguments.job)
    running = ClusterState.read(theirs)
    os.environ |= token_variables(theirs / "token")
    os.environ["RAYBENCH_RESULTS"] = running.results
    job = os.environ["SLURM_JOB_ID"]
    with private_state(job) as state:
        logs = Path(running.results) / f"slurm-{arguments.job}-joined-{job}"
        # No host of this job is the head, not even one on the same machine.
        hosts = Hosts(running.address, "", logs, state)
        try:
            hosts.wait_until_joined(signals)
            unanswered = 0
            while unanswered < 3:
                wait(signals, hosts)
                unanswered = 0 if ray_nodes(running.address) else unanswered + 1
            say(f"the cluster of job {arguments.job} has ended")
        except Interrupted:
            if signals.received != signal.SIGUSR1:
                raise
            drain_hosts(hosts, signals)
        finally:
            hosts.stop()
    return 0


@contextlib.contextmanager
def private_state(job: str) -> Iterator[Path]:
    """Give a job its private folder, on the shared file system, as long as it runs."""
    folder = create_private_folder(state_folder(job))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def drain_hosts(hosts: Hosts, signals: Signals) -> None:
    """Take on no more trials, and wait for those that run."""
    signals.received = None
    limit_s = 90
    for node in own_nodes(hosts):
        drain(hosts.head, node, limit_s)
        say(f"{node.labels[NODE_LABEL]} takes on no more trials")
    until = time.monotonic() + limit_s
    while own_nodes(hosts) and time.monotonic() < until and signals.received is None:
        time.sleep(0.5)
    say("left the cluster" if not own_nodes(hosts) else "the time is over: trials are cut off")


def own_nodes(hosts: Hosts) -> list[RayNode]:
    """Return the Ray nodes of this job's hosts."""
    nodes = ray_nodes(hosts.head)
    return [node for node in nodes if node.labels.get(JOB_LABEL) == hosts.job]


def wait(signals: Signals, hosts: Hosts) -> None:
    """Wait a second, unless the job is to end or Ray has ended on all its hosts."""
    signals.check()
    if hosts.step.poll() is not None:
        raise ClusterError(f"Ray has ended on all hosts; see {hosts.logs / 'hosts'}")
    time.sleep(1)


def wait_for_hardware(label: str, signals: Signals, hosts: Hosts) -> None:
    """Wait, as long as the job may, until another job's hosts bring a GPU type."""
    if label in gpus_by_label(ray_nodes(hosts.head)):
        return
    say(
        f"waiting for a {label}: sbatch --gpus-per-node={label.lower()}:1 "
        f"{HOME}/cluster/join_ray.sbatch {hosts.job}"
    )
    while label not in gpus_by_label(ray_nodes(hosts.head)):
        wait(signals, hosts)
    say(f"a {label} joined")


def run_driver(command: Sequence[str], signals: Signals, hosts: Hosts) -> int:
    """Run the grid's driver, in sight and into a log; pass signals on to it."""
    say("driver: " + shlex.join(command))
    driver = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"RAY_ADDRESS": hosts.head, "PYTHONUNBUFFERED": "1"},
    )

    def show() -> None:
        assert driver.stdout is not None
        with (hosts.logs / "driver.log").open("ab") as file:
            for line in driver.stdout:
                file.write(line)
                file.flush()
                sys.stdout.buffer.write(line)
                sys.stdout.flush()

    shower = threading.Thread(target=show)
    shower.start()
    signals.on_signal = driver.send_signal
    if signals.received:
        driver.send_signal(signals.received)
    ended_by: float | None = None
    while driver.poll() is None:
        if ended_by is None and (signals.received or hosts.step.poll() is not None):
            if not signals.received:
                driver.terminate()
            allowed_s = 100.0 if signals.received == signal.SIGUSR1 else DRIVER_STOPS_S
            ended_by = time.monotonic() + allowed_s
        if ended_by is not None and time.monotonic() > ended_by:
            say("the driver does not stop, and is killed")
            os.killpg(driver.pid, signal.SIGKILL)
        time.sleep(0.2)
    signals.on_signal = None
    shower.join(timeout=5)
    say(f"the driver ended with exit code {driver.returncode}")
    if signals.received:
        return Interrupted.exit_code
    return driver.returncode if driver.returncode >= 0 else 128 - driver.returncode


def write_tables(experiment: Path) -> None:
    """Leave the tables of what is there beside it, also after a failure of the driver."""
    done = subprocess.run(
        [sys.executable, "-m", "raybench", "analyze", str(experiment)],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "160"},
    )
    if done.returncode != 0:
        say(f"no tables: raybench analyze {experiment} ended with {done.returncode}")
        return
    (experiment / "tables.txt").write_text(done.stdout)
    say(f"the tables are in {experiment / 'tables.txt'}")


def how_to_submit(running: ClusterState, state: Path, nodes: Sequence[RayNode]) -> str:
    """Return the commands by which the user submits single runs, on hardware that there is."""
    label = next(iter(sorted(gpus_by_label(nodes))), "cpu:1")
    asked = "--entrypoint-num-cpus=1"
    if label != "cpu:1":
        asked = (
            "--entrypoint-num-cpus=3 --entrypoint-num-gpus=1 \\\n"
            f"    --entrypoint-resources='{{\"{label}\": 1}}'"
        )
    port = running.dashboard.rpartition(":")[2]
    # Of a heterogeneous job, srun has to be told the component.
    component = "--het-group=0 " if allocation()[1] > 1 else ""
    return f"""
Ray is held for single runs until: scancel {running.job}

On a login node, once, with a tunnel to the head, through which only your token lets you in:
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={state / "token"}
  export RAY_API_SERVER_ADDRESS={running.dashboard}
  ssh -N -f -L {port}:127.0.0.1:{port} {running.head}
Where no host can be reached by ssh, put this before each command below instead of the last line:
  srun --jobid={running.job} {component}--overlap --nodes=1 --ntasks=1 --nodelist={running.head}

Then, for each run:
  raybench submit resnet18 mnist --hardware {label} -s epochs=1
or, the same by Ray's own command, with a CPU for each of num_workers and one more:
  ray job submit {asked} -- \\
    raybench run resnet18 mnist --hardware {label} -s epochs=1

Records are in {running.results}/runs.
More hosts join by: sbatch {HOME}/cluster/join_ray.sbatch {running.job}
"""


def describe(nodes: Sequence[RayNode]) -> str:
    """Return ``3 hosts, 12 × P100, 8 × K80``."""
    gpus = gpus_by_label(nodes)
    return ", ".join(
        [f"{len(nodes)} hosts", *(f"{count} × {label}" for label, count in gpus.items())]
    )


def head_address(host: str) -> str:
    """Return the address under which the other hosts reach this one."""
    if given := os.environ.get("RAYBENCH_HEAD_ADDRESS"):
        return given
    facts = subprocess.run(
        ["scontrol", "show", "node", host], check=True, capture_output=True, text=True
    ).stdout
    address = next(word for word in facts.split() if word.startswith("NodeAddr="))
    return address_of_host(address.partition("=")[2])


def state_folder(job: str) -> Path:
    """Return a job's private folder."""
    return create_private_folder(state_root(os.environ)) / f"job-{job}"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read what came after the batch script's name."""
    parser = argparse.ArgumentParser(prog="sbatch")
    commands = parser.add_subparsers(required=True)
    starter = commands.add_parser("start", prog="sbatch cluster/start_ray.sbatch")
    starter.set_defaults(run=start)
    starter.add_argument("spec", nargs="?", type=Path)
    starter.add_argument("-s", "--set", dest="settings", action="append", default=[])
    starter.add_argument("--results", type=Path)
    starter.add_argument("--hold", action="store_true")
    starter.add_argument("--wait-for", action="append", default=[], type=canonical_label)
    joiner = commands.add_parser("join", prog="sbatch cluster/join_ray.sbatch")
    joiner.set_defaults(run=join)
    joiner.add_argument("job", metavar="JOBID")
    parsed = parser.parse_args(arguments)
    if parsed.run is start:
        if parsed.hold and (parsed.spec or parsed.settings or parsed.wait_for):
            parser.error("--hold runs no grid: it goes with --results only")
        parsed.spec = parsed.spec or HOME / "experiments" / "paper.yaml"
    return parsed


def main() -> int:
    """Run, and say in the end what went wrong, if anything."""
    os.environ.pop("RAY_AUTH_TOKEN", None)
    try:
        arguments = parse(sys.argv[1:])
        code = int(arguments.run(arguments, Signals()))
    except Interrupted:
        say("interrupted")
        return Interrupted.exit_code
    except RaybenchError as error:
        print(f"raybench: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
