"""Ray on all nodes as one step; a script takes the place of the scheduler's program."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_jobs import ray_node, step_environment

from raybench.errors import ClusterError
from raybench.launch.batch import step as module
from raybench.launch.batch.control import Interrupted, JobLog, Signals
from raybench.launch.batch.step import Step, StepEnvironment, for_ray
from raybench.system.ray_gcs import RayNode

NODES = ["k80-1", "p100-1"]
UNTIL_TOLD = (
    "trap 'touch $RAYBENCH_STATE/told; exit 0' USR1; touch $RAYBENCH_STATE/ready; "
    "while :; do sleep 0.05; done"
)
Start = Callable[..., Step]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a step whose srun behaves as given."""
    started: list[Step] = []

    def begin(behaviour: str = UNTIL_TOLD, *joined: RayNode) -> Step:
        monkeypatch.setattr(module, "ray_nodes", lambda address: list(joined))
        step = Step(
            ["bash", "-c", f"env >{tmp_path}/environment; touch {tmp_path}/began; {behaviour}"],
            nodes=NODES,
            environment=step_environment(tmp_path),
            inherited={"PATH": "/usr/bin:/bin", "HOME": "/home/me"},
            log=JobLog(started_s=time.time()),
        )
        started.append(step)
        return step

    yield begin
    for step in started:
        step.stop()


TOLD = step_environment(Path("/state"))
JOINING = step_environment(Path("/state"), head_node="", head_ports={}, dashboard=False)


@pytest.mark.parametrize("told", [TOLD, JOINING])
def test_what_a_node_reads_is_what_the_batch_script_told(told: StepEnvironment) -> None:
    assert StepEnvironment.read(told.variables()) == told


def test_outside_a_step_there_is_nothing_to_read() -> None:
    with pytest.raises(ClusterError, match="RAYBENCH_STEP is not set"):
        StepEnvironment.read({})


def test_trials_are_told_nothing_that_only_starts_ray() -> None:
    kept = {"RAYBENCH_DATA": "/data", "HOME": "/home/me"}
    assert for_ray({**kept, **TOLD.variables(), "RAYBENCH_BATCH_STARTED": "1.5"}) == kept


def test_a_failure_of_any_kind_leaves_a_sign(tmp_path: Path) -> None:
    told = step_environment(tmp_path)
    with told.failure_is_seen("p100-1"):
        pass
    assert not told.failed("p100-1").exists()
    with pytest.raises(SystemExit), told.failure_is_seen("p100-1"):
        raise SystemExit
    assert told.failed("p100-1").exists()


def test_the_step_is_told_and_nodes_that_join_are_noted(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "failed-k80-1").touch()  # of an earlier run
    step = start(UNTIL_TOLD, ray_node("p100-1"), ray_node("k80-1"), ray_node("other", job="8"))
    step.wait_until_joined(Signals([].append), 60)
    said = capsys.readouterr().out
    assert "k80-1 joined (1 of 2)" in said
    assert "p100-1 joined (2 of 2)" in said
    assert "2 nodes joined" in said
    assert step.environment.joined("k80-1").exists()
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    environment = dict(
        line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines()
    )
    assert StepEnvironment.read(environment) == step.environment
    assert environment["HOME"] == "/home/me"


def test_a_node_that_fails_is_shown_with_the_end_of_its_log(start: Start, tmp_path: Path) -> None:
    step = start(
        "for n in $(seq 40); do echo line $n; done >$RAYBENCH_STATE/slurm-7/nodes/p100-1.log\n"
        f"touch $RAYBENCH_STATE/failed-p100-1; {UNTIL_TOLD}",
        ray_node("k80-1"),
    )
    with pytest.raises(ClusterError, match=r"^p100-1 did not start Ray") as raised:
        step.wait_until_joined(Signals([].append), 60)
    assert "line 40" in raised.value.message
    assert "line 5\n" not in raised.value.message


def test_a_node_that_takes_too_long(start: Start) -> None:
    step = start(UNTIL_TOLD, ray_node("k80-1"))
    with pytest.raises(ClusterError, match=r"^p100-1 did not join within 0.2 s") as raised:
        step.wait_until_joined(Signals([].append), 0.2)
    assert "(nothing)" in raised.value.message


def test_a_step_that_ends_before(start: Start) -> None:
    step = start("exit 3")
    with pytest.raises(ClusterError, match=r"^k80-1, p100-1 did not join; the step ended \(3\)"):
        step.wait_until_joined(Signals([].append), 60)


def test_a_job_that_is_ended_waits_no_longer(start: Start) -> None:
    signals = Signals([].append)
    signals.receive(signal.SIGTERM)
    step = start()
    with pytest.raises(Interrupted):
        step.wait_until_joined(signals, 60)
    with pytest.raises(Interrupted):
        step.wait(signals)


def test_a_ray_that_has_ended_everywhere_ends_the_wait(start: Start) -> None:
    step = start("exit 0")
    while not step.has_ended:
        time.sleep(0.01)
    with pytest.raises(ClusterError, match="Ray has ended on all nodes"):
        step.wait(Signals([].append))


def test_it_is_stopped_by_a_signal_that_the_nodes_get(start: Start, tmp_path: Path) -> None:
    step = start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    step.stop()
    assert step.has_ended
    assert (tmp_path / "told").exists()


def test_one_that_does_not_stop_is_killed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NODES_STOP_S", 0.1)
    step = start("trap '' USR1; touch $RAYBENCH_STATE/deaf; while :; do sleep 0.05; done")
    while not (tmp_path / "deaf").exists():
        time.sleep(0.01)
    step.stop()
    assert step.has_ended
