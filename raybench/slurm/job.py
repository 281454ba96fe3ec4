"""The batch script's work: Ray on every node of the job, then the driver, the tables, the end.

    python -m raybench.slurm.job start [SPEC.yaml] [-s key=value]... [--results DIR]
        [--wait-for LABEL]... | --hold
    python -m raybench.slurm.job join JOBID

It runs on the job's first node, which is also the head of the Ray cluster.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from raybench.errors import ClusterError, RaybenchError, count
from raybench.launch.batch.control import Interrupted, JobLog, Signals
from raybench.launch.batch.driver import Driver, grid_command, write_tables
from raybench.launch.batch.network import address_of_node, choose_ports
from raybench.launch.batch.step import Step, StepEnvironment, node_logs
from raybench.launch.batch.workdir import (
    RunningCluster,
    create_token,
    job_folder,
    private_folder,
    token_variables,
)
from raybench.launch.preflight import check_data, check_imports
from raybench.settings import Settings, workspace
from raybench.slurm.allocation import hostnames, node_address
from raybench.slurm.arguments import Join, Start, parse
from raybench.slurm.environment import JobEnvironment
from raybench.slurm.held import describe, how_to_submit
from raybench.slurm.step import inherited, srun_command
from raybench.spec.grid import load_grid, parse_settings
from raybench.system.ray_gcs import (
    JOB_LABEL,
    NODE_LABEL,
    RayNode,
    drain,
    gpus_by_label,
    ray_nodes,
)

DRAIN_S = 90.0
"""How long running trials have when the nodes of a joined job leave the cluster."""


DASHBOARD = ("aiohttp", "aiohttp_cors", "opencensus", "opentelemetry", "prometheus_client")
"""What Ray's dashboard imports, and Ray alone does not bring."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A batch script at work.

    Attributes:
        environment: what Slurm and the script told.
        nodes: the job's nodes.
        settings: what the site set.
        log: the script's log.
        signals: what Slurm asks of the job.
    """

    environment: JobEnvironment
    nodes: tuple[str, ...]
    settings: Settings
    log: JobLog
    signals: Signals

    def folder(self, job: str) -> Path:
        """Return the private folder of a job of this user."""
        return job_folder(self.settings.state_root or Path.home() / ".raybench", job)

    def step_environment(
        self,
        cluster: RunningCluster,
        state: Path,
        logs: Path,
        *,
        ports: Mapping[str, int] | None = None,
        dashboard: bool = False,
    ) -> StepEnvironment:
        """Return what this job's nodes are told; without ports, none of them is the head."""
        job = self.environment.job
        return StepEnvironment(
            job=job,
            run=f"rb{job}-{secrets.token_hex(3)}",
            head=cluster.address,
            head_node=cluster.head if ports else "",
            head_ports=dict(ports or {}),
            dashboard=dashboard,
            state=state,
            logs=logs,
        )

    @contextlib.contextmanager
    def ray(self, environment: StepEnvironment) -> Iterator[Step]:
        """Run Ray on all nodes of this job, from when all have joined."""
        script, logs = self.environment.home / "node.sh", node_logs(environment.logs)
        step = Step(
            srun_command(script, self.nodes, len(self.environment.node_lists), logs),
            nodes=self.nodes,
            environment=environment,
            inherited=inherited(os.environ),
            log=self.log,
        )
        try:
            step.wait_until_joined(self.signals, self.settings.start_timeout_s)
            yield step
        finally:
            step.stop()
            self.log.say(f"Ray has ended; logs are in {environment.logs}")


def start(job: Job, asked: Start) -> int:
    """Run a cluster with a grid's driver, or hold it for single runs."""
    results = workspace(asked.results).results.absolute()
    spec = asked.spec or paper_grid(job.environment.home)
    # What cannot work is refused before any node starts.
    if asked.hold:
        check_dashboard()
    name = "runs" if asked.hold else check_grid(spec, asked.settings, results, job.log)
    number, home = job.environment.job, job.environment.home
    with private_folder(job.folder(number)) as state:
        os.environ |= {**token_variables(create_token(state)), "RAYBENCH_RESULTS": str(results)}
        ports = choose_ports(int(number))
        cluster = RunningCluster(
            job=number,
            address=f"{head_address(job)}:{ports['gcs']}",
            dashboard=f"http://127.0.0.1:{ports['dashboard']}",
            head=job.environment.node,
            results=str(results),
        )
        logs = results / name / f"slurm-{number}"
        told = job.step_environment(cluster, state, logs, ports=ports, dashboard=asked.hold)
        with job.ray(told) as step:
            cluster.write(state)
            nodes = ray_nodes(cluster.address)
            job.log.say(f"Ray at {cluster.address} has {describe(nodes)}")
            if not asked.hold:
                return run_grid(job, step, asked, spec, results / name)
            components = len(job.environment.node_lists)
            print(how_to_submit(cluster, state, nodes, components, home), flush=True)
            while True:
                step.wait(job.signals)


def check_dashboard() -> None:
    """Refuse to hold a cluster that could take no jobs.

    Raises:
        ClusterError: a package of Ray's dashboard is absent.
    """
    # Not by asking Ray: it reads whether there is a token when it is imported.
    if missing := [name for name in DASHBOARD if find_spec(name) is None]:
        raise ClusterError(
            f"--hold needs Ray's dashboard, which takes the jobs: no {', '.join(missing)} here",
            hint="pip install 'raybench[jobs]'",
        )


def check_grid(spec: Path, settings: Sequence[str], results: Path, log: JobLog) -> str:
    """Refuse a grid that cannot run, and return its name.

    Raises:
        SpecError: the grid is wrong, or a model cannot be imported.
        DataError: a dataset is absent.
    """
    grid = load_grid(spec, parse_settings(settings))
    trials = grid.plan()
    check_imports(trials)
    check_data(trials, workspace())
    log.say(f"{spec}: {count(len(trials), 'trial')}, results in {results / grid.name}")
    return grid.name


def paper_grid(home: Path) -> Path:
    """Return the paper's grid: beside the batch scripts, or where a checkout has it."""
    beside = home / "paper.yaml"
    return beside if beside.exists() else home.parent / "experiments" / "paper.yaml"


def run_grid(job: Job, step: Step, asked: Start, spec: Path, experiment: Path) -> int:
    """Run the grid's driver, leave its tables, and return the driver's exit code."""
    told = step.environment
    for label in asked.wait_for:
        wait_for_hardware(label, job, step)
    driver = Driver(
        command=grid_command(spec, asked.settings, experiment.parent),
        head=told.head,
        log_file=told.logs / "driver.log",
        log=job.log,
        cluster_has_ended=lambda: step.has_ended,
    )
    code = driver.run(job.signals)
    write_tables(experiment, job.log.say)
    return code


def wait_for_hardware(label: str, job: Job, step: Step) -> None:
    """Wait, as long as the job may, until another job's nodes bring a GPU type."""
    told = step.environment
    if label in gpus_by_label(ray_nodes(told.head)):
        return
    job.log.say(
        f"waiting for a {label}: sbatch --gpus-per-node={label.lower()}:1 "
        f"{job.environment.home}/join_ray.sbatch {told.job}"
    )
    while label not in gpus_by_label(ray_nodes(told.head)):
        step.wait(job.signals)
    job.log.say(f"a {label} joined")


def join(job: Job, asked: Join) -> int:
    """Add this job's nodes to the cluster of another job, until that ends or this one must."""
    theirs = job.folder(asked.job)
    running = RunningCluster.read(theirs)
    os.environ |= {**token_variables(theirs / "token"), "RAYBENCH_RESULTS": running.results}
    number = job.environment.job
    logs = Path(running.results) / f"slurm-{asked.job}-joined-{number}"
    with (
        private_folder(job.folder(number)) as state,
        # No node of this job is the head, not even one on the same machine.
        job.ray(job.step_environment(running, state, logs)) as step,
    ):
        try:
            unanswered = 0
            while unanswered < 3:
                step.wait(job.signals)
                unanswered = 0 if ray_nodes(running.address) else unanswered + 1
            job.log.say(f"the cluster of job {asked.job} has ended")
        except Interrupted:
            if not job.signals.end_soon:
                raise
            drain_nodes(step, job.signals, job.log)
    return 0


def drain_nodes(step: Step, signals: Signals, log: JobLog) -> None:
    """Take on no more trials, and wait for those that run."""
    signals.received = None
    head = step.environment.head

    def own_nodes() -> list[RayNode]:
        nodes = ray_nodes(head)
        return [node for node in nodes if node.labels.get(JOB_LABEL) == step.environment.job]

    for node in own_nodes():
        drain(head, node, DRAIN_S)
        log.say(f"{node.labels[NODE_LABEL]} takes on no more trials")
    until = time.monotonic() + DRAIN_S
    while own_nodes() and time.monotonic() < until and signals.received is None:
        time.sleep(0.5)
    log.say("left the cluster" if not own_nodes() else "the time is over: trials are cut off")


def head_address(job: Job) -> str:
    """Return the address under which the other nodes reach this one."""
    if job.settings.head_address:
        return job.settings.head_address
    return address_of_node(node_address(job.environment.node))


def main(arguments: Sequence[str]) -> int:
    """Run, and say in the end what went wrong, if anything."""
    os.environ.pop("RAY_AUTH_TOKEN", None)
    log = JobLog(started_s=time.time())
    try:
        asked = parse(arguments)
        environment = JobEnvironment.read(os.environ)
        log = JobLog(started_s=environment.started_s)
        signals = Signals(log.say)
        signals.listen()
        nodes = [name for short in environment.node_lists for name in hostnames(short)]
        job = Job(
            environment=environment,
            nodes=tuple(nodes),
            settings=Settings(),
            log=log,
            signals=signals,
        )
        return start(job, asked) if isinstance(asked, Start) else join(job, asked)
    except Interrupted:
        log.say("interrupted")
        return Interrupted.exit_code
    except RaybenchError as error:
        print(f"raybench: {error}", file=sys.stderr, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
