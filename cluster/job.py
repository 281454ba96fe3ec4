"""The batch script's work: Ray on every host of the job, then the driver, the tables, the end.

    job.py start [SPEC.yaml] [-s key=value]... [--results DIR] [--wait-for LABEL]... | --hold
    job.py join JOBID

It runs on the job's first host, which is also the head of the Ray cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from raybench import cluster
from raybench.catalog.hardware import canonical_label
from raybench.errors import ClusterError, RaybenchError
from raybench.spec import load_grid, parse_settings
from raybench.store import results_root

HOME = Path(os.environ["RAYBENCH_HOME"])
STARTED = float(os.environ.get("RAYBENCH_BATCH_STARTED") or time.time())
DRIVER_STOPS_S, HOSTS_STOP_S = 15.0, 20.0
"""Slurm allows 30 s after ``scancel``, in which both end at the same time."""


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
        return [*command, str(HOME / "cluster" / "host.sh")]

    def wait_until_joined(self, signals: Signals) -> None:
        """Wait until every host is in the cluster.

        Raises:
            ClusterError: one failed, or the time is over; the message has the end of its log.
        """
        limit_s = float(os.environ.get("RAYBENCH_START_TIMEOUT_S") or 120)
        missing = list(self.names)
        while missing:
            signals.check()
            joined = cluster.joined_hosts(cluster.ray_nodes(self.head), self.job)
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
        return ClusterError("\n".join(lines), cure="see the log above and cluster/README.md")

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
        return cluster.expand_hosts(os.environ["SLURM_JOB_NODELIST"]), 1
    groups = [os.environ[f"SLURM_JOB_NODELIST_HET_GROUP_{group}"] for group in range(size)]
    return [host for names in groups for host in cluster.expand_hosts(names)], size


def start(arguments: argparse.Namespace, signals: Signals) -> int:
    """Run a cluster with a grid's driver, or hold it for single runs."""
    root = results_root(arguments.results).absolute()
    settings = [part for setting in arguments.settings for part in ("-s", setting)]
    name = "runs"
    if not arguments.hold:
        # A spec that cannot work is refused before any host starts.
        grid = load_grid(arguments.spec, parse_settings(arguments.settings))
        name = grid.name
        say(f"{arguments.spec}: {len(grid.plan())} trials, results in {root / name}")
    job = os.environ["SLURM_JOB_ID"]
    logs = root / name / f"slurm-{job}"
    state = cluster.create_private_folder(state_folder(job))
    os.environ |= cluster.token_variables(cluster.create_token(state))
    os.environ["RAYBENCH_RESULTS"] = str(root)
    ports = cluster.choose_ports(int(job))
    host = os.environ["SLURMD_NODENAME"]
    head = f"{head_address(host)}:{ports['gcs']}"
    dashboard = f"http://127.0.0.1:{ports['dashboard']}"
    hosts = Hosts(
        head,
        host,
        logs,
        state,
        RAYBENCH_HEAD_PORTS=json.dumps(ports),
        RAYBENCH_DASHBOARD="1" if arguments.hold else "0",
    )
    try:
        hosts.wait_until_joined(signals)
        held = cluster.ClusterState(
            job=job, address=head, dashboard=dashboard, head=host, results=str(root)
        )
        held.write(state)
        say(f"Ray at {head} has {describe(cluster.ray_nodes(head))}")
        if arguments.hold:
            print(how_to_submit(held, state), flush=True)
            while True:
                wait(signals, hosts)
        for label in arguments.wait_for:
            wait_for_hardware(label, held, signals, hosts)
        driver = [sys.executable, str(HOME / "experiments" / "grid.py"), str(arguments.spec)]
        driver += [*settings, f"--results={root}"]
        code = run_driver(driver, logs / "driver.log", head, signals, hosts)
        write_tables(root / name)
        return code
    finally:
        hosts.stop()
        shutil.rmtree(state)
        say(f"Ray has ended; logs are in {logs}")


def join(arguments: argparse.Namespace, signals: Signals) -> int:
    """Add this job's hosts to the cluster of another job, until that ends or this one must."""
    state = state_folder(arguments.job)
    held = cluster.ClusterState.read(state)
    os.environ |= cluster.token_variables(state / "token")
    os.environ["RAYBENCH_RESULTS"] = held.results
    own = cluster.create_private_folder(state_folder(os.environ["SLURM_JOB_ID"]))
    logs = Path(held.results) / f"slurm-{arguments.job}-joined-{os.environ['SLURM_JOB_ID']}"
    hosts = Hosts(held.address, held.head + " of another job", logs, own)
    try:
        hosts.wait_until_joined(signals)
        unanswered = 0
        while unanswered < 3:
            wait(signals, hosts)
            unanswered = 0 if cluster.ray_nodes(held.address) else unanswered + 1
        say(f"the cluster of job {arguments.job} has ended")
    except Interrupted:
        if signals.received == signal.SIGUSR1:
            drain(hosts, signals)
            return 0
        raise
    finally:
        hosts.stop()
        shutil.rmtree(own)
    return 0


def drain(hosts: Hosts, signals: Signals) -> None:
    """Take on no more trials, and wait for those that run."""
    signals.received = None
    limit_s = 90
    for node in own_nodes(hosts):
        cluster.drain(hosts.head, node, limit_s)
        say(f"{node.labels[cluster.HOST_LABEL]} takes on no more trials")
    until = time.monotonic() + limit_s
    while own_nodes(hosts) and time.monotonic() < until and signals.received is None:
        time.sleep(0.5)
    say("left the cluster" if not own_nodes(hosts) else "the time is over: trials are cut off")


def own_nodes(hosts: Hosts) -> list[cluster.RayNode]:
    """Return the Ray nodes of this job's hosts."""
    nodes = cluster.ray_nodes(hosts.head)
    return [node for node in nodes if node.labels.get(cluster.JOB_LABEL) == hosts.job]


def wait(signals: Signals, hosts: Hosts) -> None:
    """Wait a second, unless the job is to end or Ray has ended on all its hosts."""
    signals.check()
    if hosts.step.poll() is not None:
        raise ClusterError(f"Ray has ended on all hosts; see {hosts.logs / 'hosts'}")
    time.sleep(1)


def wait_for_hardware(
    label: str, held: cluster.ClusterState, signals: Signals, hosts: Hosts
) -> None:
    """Wait, as long as the job may, until another job's hosts bring a GPU type."""
    if label in cluster.gpus_by_label(cluster.ray_nodes(held.address)):
        return
    say(
        f"waiting for a {label}: sbatch --gpus-per-node={label.lower()}:1 "
        f"{HOME}/cluster/join_ray.sbatch {held.job}"
    )
    while label not in cluster.gpus_by_label(cluster.ray_nodes(held.address)):
        wait(signals, hosts)
    say(f"a {label} joined")


def run_driver(command: Sequence[str], log: Path, head: str, signals: Signals, hosts: Hosts) -> int:
    """Run the grid's driver, in sight and into a log; pass signals on to it."""
    say("driver: " + shlex.join(command))
    driver = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"RAY_ADDRESS": head, "PYTHONUNBUFFERED": "1"},
    )

    def show() -> None:
        assert driver.stdout is not None
        with log.open("ab") as file:
            for line in driver.stdout:
                file.write(line)
                file.flush()
                sys.stdout.buffer.write(line)
                sys.stdout.flush()

    shower = threading.Thread(target=show)
    shower.start()
    signals.on_signal = driver.send_signal
    ended_by: float | None = None
    while driver.poll() is None:
        if ended_by is None and (signals.received or hosts.step.poll() is not None):
            driver.send_signal(signals.received or signal.SIGTERM)
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
    """Print the tables of what is there, also after a failure, and leave them beside it."""
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
    print(done.stdout, flush=True)
    say(f"these tables are in {experiment / 'tables.txt'}")


def how_to_submit(held: cluster.ClusterState, state: Path) -> str:
    """Return the commands by which the user submits single runs."""
    port = held.dashboard.rpartition(":")[2]
    # Of a heterogeneous job, srun has to be told the component.
    component = "--het-group=0 " if allocation()[1] > 1 else ""
    return f"""
Ray is held for single runs until: scancel {held.job}

On a login node, once, with a tunnel to the head, through which only your token lets you in:
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={state / "token"}
  export RAY_API_SERVER_ADDRESS={held.dashboard}
  ssh -N -f -L {port}:127.0.0.1:{port} {held.head}
Where no host can be reached by ssh, put this before each command below instead of the last line:
  srun --jobid={held.job} {component}--overlap --nodes=1 --ntasks=1 --nodelist={held.head}

Then, for each run:
  raybench submit resnet18 mnist --hardware P100 -s epochs=1
or, the same by Ray's own command, with a CPU for each of num_workers and one more:
  ray job submit --entrypoint-num-cpus=3 --entrypoint-num-gpus=1 \\
    --entrypoint-resources='{{"P100": 1}}' -- \\
    raybench run resnet18 mnist --hardware P100 -s epochs=1

Records are in {held.results}/runs.
More hosts join by: sbatch {HOME}/cluster/join_ray.sbatch {held.job}
"""


def describe(nodes: Sequence[cluster.RayNode]) -> str:
    """Return ``3 hosts, 12 × P100, 8 × K80``."""
    gpus = cluster.gpus_by_label(nodes)
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
    return cluster.address_of_host(address.partition("=")[2])


def state_folder(job: str) -> Path:
    """Return a job's private folder."""
    return cluster.create_private_folder(cluster.state_root(os.environ)) / f"job-{job}"


def elapsed_s() -> float:
    """Return the seconds since the batch script began."""
    return time.time() - STARTED


def say(text: str) -> None:
    """Write a line to the job's log, with the seconds since the batch script began."""
    print(f"[{elapsed_s():6.1f} s] {text}", flush=True)


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
