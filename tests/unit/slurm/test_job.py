"""The batch script's work, with recorded scontrol output, no srun and no Ray."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from slurm_jobs import job_environment, ray_node, recorded_scontrol

from raybench.errors import ClusterError, DataError, RaybenchError, SpecError
from raybench.launch.batch.control import Interrupted, JobLog, Signals
from raybench.launch.batch.driver import Driver
from raybench.launch.batch.step import StepEnvironment
from raybench.launch.batch.workdir import RunningCluster, create_token
from raybench.settings import Settings
from raybench.slurm import allocation
from raybench.slurm import job as module
from raybench.slurm.arguments import Join, Start
from raybench.slurm.job import Job, join, main, paper_grid, start
from raybench.system.ray_gcs import RayNode

TINY = """
name: tiny
model: resnet18
dataset: digits
hardware: [P100, K80]
"""


@dataclass
class Cluster:
    """A cluster without Ray: the nodes that answer, and what happens at each wait."""

    nodes: list[RayNode] = field(default_factory=lambda: [ray_node("k80-1", K80=1.0)])
    events: list[Any] = field(default_factory=list)
    told: list[StepEnvironment] = field(default_factory=list)
    driven: list[Driver] = field(default_factory=list)
    drained: list[str] = field(default_factory=list)

    @contextmanager
    def ray(self, environment: StepEnvironment) -> Iterator[Any]:
        self.told.append(environment)
        self.log = (environment.state / "token").exists()
        yield _Step(self, environment)

    def drain(self, head: str, node: RayNode, limit_s: float) -> None:
        self.drained.append(node.node_id)
        self.nodes = [other for other in self.nodes if other is not node]


@dataclass
class _Step:
    cluster: Cluster
    environment: StepEnvironment
    has_ended: bool = False

    def wait(self, signals: Signals) -> None:
        event = self.cluster.events.pop(0)
        if isinstance(event, RayNode):
            self.cluster.nodes.append(event)
        elif isinstance(event, signal.Signals):
            signals.receive(event)
            signals.check()
        else:
            raise event


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster()
    monkeypatch.setattr(Job, "ray", lambda job, told: found.ray(told))
    monkeypatch.setattr(module, "ray_nodes", lambda address: found.nodes)
    monkeypatch.setattr(module, "drain", found.drain)
    monkeypatch.setattr(allocation, "scontrol", recorded_scontrol)

    def run(driver: Driver, signals: Signals) -> int:
        found.driven.append(driver)
        return 1

    monkeypatch.setattr(Driver, "run", run)
    monkeypatch.setattr(module, "write_tables", lambda experiment, say: say(f"tables {experiment}"))
    # What a job sets for its children must not reach other tests.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return found


@pytest.fixture
def job(tmp_path: Path) -> Job:
    log = JobLog(started_s=0)
    return Job(
        environment=job_environment(tmp_path / "cluster"),
        nodes=("k80-1", "p100-1"),
        settings=Settings(state_root=tmp_path / "state"),
        log=log,
        signals=Signals(log.say),
    )


def grid(tmp_path: Path, text: str = TINY) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    return path


def test_a_grid_is_driven_and_its_tables_left(
    cluster: Cluster, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Start(spec=grid(tmp_path), settings=("repeats=5",), results=tmp_path / "r")
    assert start(job, asked) == 1
    (told,), (driver,) = cluster.told, cluster.driven
    assert told.head.startswith("10.77.0.13:")
    assert told.head_node == "k80-1"
    assert not told.dashboard
    assert told.logs == tmp_path / "r" / "tiny" / "slurm-7"
    assert list(driver.command[-4:]) == [
        *(str(tmp_path / "tiny.yaml"), "-s", "repeats=5", f"--results={tmp_path / 'r'}")
    ]
    said = capsys.readouterr().out
    assert "10 trials, results in" in said
    assert "has 1 node, 1 × K80" in said
    assert f"tables {tmp_path / 'r' / 'tiny'}" in said
    assert list((tmp_path / "state").iterdir()) == []


def test_a_held_cluster_shows_how_to_submit_until_the_job_is_ended(
    cluster: Cluster, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.events = [signal.SIGTERM]
    with pytest.raises(Interrupted):
        start(job, Start(hold=True, results=tmp_path / "r"))
    (told,) = cluster.told
    assert told.dashboard
    assert told.logs == tmp_path / "r" / "runs" / "slurm-7"
    assert "raybench submit resnet18 mnist --hardware K80" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "error"), [("batchsize=3", SpecError), ("dataset=kmnist", DataError)]
)
def test_what_cannot_work_starts_nothing(
    cluster: Cluster, job: Job, tmp_path: Path, setting: str, error: type[RaybenchError]
) -> None:
    with pytest.raises(error):
        start(job, Start(spec=grid(tmp_path), settings=(setting,)))
    assert cluster.told == []
    assert not (tmp_path / "state").exists()


def test_a_grid_waits_for_hardware_that_joins(
    cluster: Cluster, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.events = [ray_node("plain", job="8"), ray_node("v100-1", job="8", V100=2.0)]
    start(job, Start(spec=grid(tmp_path), wait_for=("K80", "V100")))
    said = capsys.readouterr().out
    assert "waiting for a K80" not in said
    home = job.environment.home
    assert f"waiting for a V100: sbatch --gpus-per-node=v100:1 {home}/join_ray.sbatch 7" in said
    assert "a V100 joined" in said
    assert len(cluster.driven) == 1


def test_a_head_address_of_the_site_outranks_slurms(
    cluster: Cluster, job: Job, tmp_path: Path
) -> None:
    settings = Settings(state_root=tmp_path / "state", head_address="192.168.1.5")
    start(Job(**{**vars(job), "settings": settings}), Start(spec=grid(tmp_path)))
    assert cluster.told[0].head.startswith("192.168.1.5:")


def running(job: Job, tmp_path: Path) -> RunningCluster:
    """Leave what job 3 leaves of its cluster."""
    found = RunningCluster(
        job="3",
        address="10.77.0.11:10048",
        dashboard="http://127.0.0.1:10049",
        head="p100-1",
        results=str(tmp_path / "theirs"),
    )
    folder = job.folder("3")
    folder.mkdir()
    create_token(folder)
    found.write(folder)
    return found


def test_joined_nodes_stay_until_the_cluster_ends(
    cluster: Cluster, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running(job, tmp_path)
    cluster.nodes = []
    cluster.events = [ray_node("p100-1", job="3")]

    class Quiet(_Step):
        def wait(self, signals: Signals) -> None:
            cluster.nodes = []

    @contextmanager
    def ray(_job: Job, told: StepEnvironment) -> Iterator[Any]:
        cluster.told.append(told)
        yield Quiet(cluster, told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "ray", ray)
        assert join(job, Join(job="3")) == 0
    (told,) = cluster.told
    assert (told.head, told.head_node, told.head_ports) == ("10.77.0.11:10048", "", {})
    assert told.logs == tmp_path / "theirs" / "slurm-3-joined-7"
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(job.folder("3") / "token")
    assert os.environ["RAYBENCH_RESULTS"] == str(tmp_path / "theirs")
    assert "the cluster of job 3 has ended" in capsys.readouterr().out


def test_joined_nodes_leave_in_order_before_the_time_limit(
    cluster: Cluster, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running(job, tmp_path)
    cluster.nodes = [ray_node("k80-1"), ray_node("p100-1", job="3")]
    cluster.events = [signal.SIGUSR1]
    assert join(job, Join(job="3")) == 0
    assert cluster.drained == ["k80-1"]
    said = capsys.readouterr().out
    assert "k80-1 takes on no more trials" in said
    assert "left the cluster" in said


def test_joined_nodes_are_cut_off_when_the_job_is_cancelled(
    cluster: Cluster, job: Job, tmp_path: Path
) -> None:
    running(job, tmp_path)
    cluster.events = [signal.SIGTERM]
    with pytest.raises(Interrupted):
        join(job, Join(job="3"))
    assert cluster.drained == []


def test_only_a_running_cluster_can_be_joined(cluster: Cluster, job: Job) -> None:
    with pytest.raises(ClusterError, match="job-999 runs no Ray cluster"):
        join(job, Join(job="999"))
    assert cluster.told == []


def test_the_papers_grid_lies_beside_the_scripts_or_in_a_checkout(tmp_path: Path) -> None:
    home = tmp_path / "cluster"
    assert paper_grid(home) == tmp_path / "experiments" / "paper.yaml"
    home.mkdir()
    (home / "paper.yaml").touch()
    assert paper_grid(home) == home / "paper.yaml"
    assert paper_grid(Path(__file__).parents[3] / "cluster").exists()


def test_outside_a_job_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert main(["join", "3"]) == 2
    assert "SLURM_JOB_ID is not set: this runs inside a Slurm job only" in capsys.readouterr().err


def test_a_cluster_that_could_take_no_jobs_is_not_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module.check_dashboard()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match="--hold needs Ray's dashboard") as raised:
        module.check_dashboard()
    assert raised.value.hint == "pip install 'raybench[jobs]'"
