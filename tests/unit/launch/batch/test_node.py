"""Ray on one node: a script takes the place of ``ray start``, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from raybench.launch.batch.node import MARK, marked

PROGRAM = """
import sys
from pathlib import Path
from raybench.errors import RaybenchError
from raybench.launch.batch import node
from raybench.launch.batch.node import NodeRun

node.TRIALS_STOP_S = 0.2
folder = Path(sys.argv[1])
run = NodeRun(
    node="p100-1",
    temp_dir=folder / "tmp" / "rb7-x",
    logs=folder / "logs",
    joined=folder / "joined-p100-1",
    variables={**__import__("os").environ, "FOLDER": str(folder)},
    arguments=lambda: ["start"],
    say=lambda text: print(text, flush=True),
    ray_start=["bash", "-c", sys.argv[2]],
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
# A worker in a session of its own, which is deaf to SIGTERM.
WORKER = "setsid bash -c \"trap '' TERM; echo \\$\\$ >$FOLDER/worker; sleep 600; sleep 600\" & "
STAYS = "touch $FOLDER/started; sleep 600"
WORKS = WORKER + "while [ ! -s $FOLDER/worker ]; do sleep 0.02; done; " + STAYS


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    (tmp_path / "tmp").mkdir()

    def start(ray: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), LOGS + ray]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_a_ray_that_does_not_start_is_tried_once_more(
    run: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    node = run("exit 4")
    said, _ = node.communicate(timeout=60)
    assert node.returncode == 2
    assert len(list((tmp_path / "starts").iterdir())) == 2
    first, second = said.split("it did not start, and is tried once more")
    assert "Ray ended on p100-1 with exit code 4" in first
    assert "raylet 0 could not bind" in first
    assert "raybench: Ray ended on p100-1 with exit code 4" in second
    assert "raylet 1 could not bind" in second
    assert "0 could not bind" in (tmp_path / "logs" / "first-start" / "raylet.err").read_text()
    assert "1 could not bind" in (tmp_path / "logs" / "raylet.err").read_text()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_second_start_that_works_goes_on_until_the_end(
    run: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    node = run(f"[ $(ls $FOLDER/starts | wc -l) = 2 ] || exit 1; {STAYS}")
    wait_for(tmp_path / "started")
    node.send_signal(signal.SIGUSR1)
    said, _ = node.communicate(timeout=60)
    assert node.returncode == 0
    assert said.splitlines()[-2:] == ["stopping", "stopped"]


def test_a_ray_that_ends_after_it_has_joined_is_not_started_again(
    run: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "joined-p100-1").touch()
    node = run("exit 1")
    said, _ = node.communicate(timeout=60)
    assert node.returncode == 2
    assert "once more" not in said
    assert "raylet 0 could not bind" in said
    assert len(list((tmp_path / "starts").iterdir())) == 1


def test_nothing_is_left_of_it_but_what_a_trial_could_write_nowhere_else(
    run: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    record = "echo '{}' >$TMPDIR/raybench-resnet18.json;"
    node = run(f"{record}{WORKS}")
    wait_for(tmp_path / "started")
    worker = psutil.Process(int((tmp_path / "worker").read_text()))
    mark = str(tmp_path / "tmp" / "rb7-x")
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
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["raybench-resnet18.json"]
