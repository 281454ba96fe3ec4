"""Ray on one node: a script takes the place of ``ray start``, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from slurm_jobs import PORTS, step_environment

from raybench.errors import ClusterError, HardwareError
from raybench.launch.batch import node as module
from raybench.launch.batch.node import MARK, NodeRun, marked, start
from raybench.launch.batch.resources import NodeResources

K80 = NodeResources(cpus=3, gpus=1, label="K80", verified=False)

PROGRAM = """
import os, sys
from raybench.errors import RaybenchError
from raybench.launch.batch import node
from raybench.launch.batch.resources import NodeResources
from raybench.launch.batch.step import StepEnvironment

node.TRIALS_STOP_S = 0.2
run = node.NodeRun(
    resources=NodeResources(cpus=1),
    node="k80-1",
    step=StepEnvironment.read(os.environ),
    variables=os.environ,
    ray_start=["bash", "-c", sys.argv[1]],
)
try:
    run.stay()
except RaybenchError as error:
    print(f"raybench: {error}", flush=True)
    sys.exit(error.exit_code)
"""

LOGS = """
logs=$RAY_TMPDIR/session_2026-11-24_10-00-00_$$/logs
mkdir -p $logs $FOLDER/starts
echo "raylet $(ls $FOLDER/starts | wc -l) could not bind" >$logs/raylet.err
touch $FOLDER/starts/$$
"""
STAYS = "touch $FOLDER/started; sleep 600"
# A worker in a session of its own, which is deaf to SIGTERM.
WORKS = (
    "setsid bash -c \"trap '' TERM; echo \\$\\$ >$FOLDER/worker; sleep 600; sleep 600\" & "
    "while [ ! -s $FOLDER/worker ]; do sleep 0.02; done; " + STAYS
)
Run = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def tmpdir() -> Iterator[Path]:
    """Give a node's local folder, whose path is short."""
    with tempfile.TemporaryDirectory(prefix="rb", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def run(tmp_path: Path, tmpdir: Path) -> Run:
    given = {"FOLDER": str(tmp_path), "RAYBENCH_TMPDIR": str(tmpdir)}

    def begin(ray: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, LOGS + ray],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **given, **step_environment(tmp_path).variables()},
        )

    return begin


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_a_ray_that_does_not_start_is_tried_once_more(
    run: Run, tmp_path: Path, tmpdir: Path
) -> None:
    node = run("exit 4")
    said, _ = node.communicate(timeout=60)
    assert node.returncode == 2
    assert len(list((tmp_path / "starts").iterdir())) == 2
    first, second = said.split("it did not start, and is tried once more")
    assert "Ray ended on k80-1 with exit code 4" in first
    assert "raylet 0 could not bind" in first
    assert "raybench: Ray ended on k80-1 with exit code 4" in second
    assert "raylet 1 could not bind" in second
    logs = tmp_path / "slurm-7" / "ray" / "k80-1"
    assert "0 could not bind" in (logs / "first-start" / "raylet.err").read_text()
    assert "1 could not bind" in (logs / "raylet.err").read_text()
    assert list(tmpdir.iterdir()) == []


def test_a_second_start_that_works_goes_on_until_the_end(
    run: Run, tmp_path: Path, tmpdir: Path
) -> None:
    node = run(f"[ $(ls $FOLDER/starts | wc -l) = 2 ] || exit 1; {STAYS}")
    wait_for(tmp_path / "started")
    node.send_signal(signal.SIGUSR1)
    said, _ = node.communicate(timeout=60)
    assert node.returncode == 0
    assert [line.split()[-1] for line in said.splitlines()[-2:]] == ["stopping", "stopped"]


def test_a_ray_that_ends_after_it_has_joined_is_not_started_again(
    run: Run, tmp_path: Path, tmpdir: Path
) -> None:
    (tmp_path / "joined-k80-1").touch()
    node = run("exit 1")
    said, _ = node.communicate(timeout=60)
    assert node.returncode == 2
    assert "once more" not in said
    assert "raylet 0 could not bind" in said
    assert len(list((tmp_path / "starts").iterdir())) == 1


def test_nothing_is_left_of_it_but_what_a_trial_could_write_nowhere_else(
    run: Run, tmp_path: Path, tmpdir: Path
) -> None:
    record = "mkdir $TMPDIR/raybench-rescued-x;"
    node = run(f"{record}{WORKS}")
    wait_for(tmp_path / "started")
    worker = psutil.Process(int((tmp_path / "worker").read_text()))
    mark = str(tmpdir / "rb7-0123abcd")
    assert worker.environ()[MARK] == mark
    assert worker in marked(mark)
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: "another-run"})
    try:
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=60)
        assert node.returncode == 0
        # Where nobody waits for it, what is left of it is a zombie.
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
        assert marked(mark) == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert [path.name for path in tmpdir.iterdir()] == ["raybench-rescued-x"]


def test_a_gpu_that_only_the_scheduler_names_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[NodeRun] = []

    def note(run: NodeRun) -> None:
        begun.append(run)

    monkeypatch.setattr(NodeRun, "stay", note)
    environ = {**step_environment(tmp_path).variables(), "RAYBENCH_DATA": "/data"}
    start(K80, "k80-1", environ)
    (run,) = begun
    assert run.variables == {"RAYBENCH_UNVERIFIED_HARDWARE": "1", "RAYBENCH_DATA": "/data"}
    said = capsys.readouterr().out
    assert "k80-1: 3 CPUs, 1 × K80" in said
    assert "marked unverified" in said


def test_a_torch_that_cannot_use_the_gpu_keeps_the_node_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise HardwareError("no kernels for sm_37", hint="create.sh kepler-pascal")

    monkeypatch.setattr(module, "check_torch", refuse)
    step = step_environment(tmp_path)
    with pytest.raises(HardwareError, match="no kernels"):
        start(NodeResources(cpus=3, gpus=1, label="K80"), "k80-1", step.variables())
    assert step.failed("k80-1").exists()


def node_run(folder: Path, node: str = "k80-1", **step: object) -> NodeRun:
    told = step_environment(folder, **step)
    return NodeRun(resources=K80, node=node, step=told, variables={})


def test_the_head_has_the_ports_that_the_batch_script_chose(tmp_path: Path) -> None:
    run = node_run(tmp_path)
    expected = {"--head", f"--port={PORTS['gcs']}", "--node-ip-address=10.77.0.13"}
    assert expected <= set(run.arguments())
    assert "--temp-dir=/tmp/rb7-0123abcd/r" in run.arguments()


def test_another_node_chooses_its_ports_anew_at_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = iter((PORTS, {name: port + 100 for name, port in PORTS.items()}))
    monkeypatch.setattr(module, "choose_ports", lambda job: next(chosen))
    monkeypatch.setattr(module, "outward_address", lambda address: f"toward {address}")
    run = node_run(tmp_path, "p100-1")
    first, second = run.arguments(), run.arguments()
    assert "--address=10.77.0.13:10112" in first
    assert "--node-ip-address=toward 10.77.0.13" in first
    assert "--node-manager-port=10114" in first
    assert "--node-manager-port=10214" in second


def test_no_node_of_a_joining_job_is_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "outward_address", lambda address: "10.77.0.13")
    assert "--head" not in node_run(tmp_path, head_node="", head_ports={}).arguments()


def test_a_long_temporary_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYBENCH_TMPDIR", "/a/very/long/path/to/scratch/space")
    with pytest.raises(ClusterError, match="too long a path"):
        node_run(tmp_path).stay()
