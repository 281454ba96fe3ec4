"""Who else times a trial on this node; other processes are real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raybench.record.noted import Missing
from raybench.trial.measure.contention import CoLocation, node_folder

OTHER = """
import sys
from pathlib import Path
from raybench.trial.measure.contention import CoLocation
with CoLocation(Path(sys.argv[1])):
    print("timing", flush=True)
    sys.stdin.readline()
print("done", flush=True)
"""

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start another process that times a trial, and wait until it does."""
    started: list[subprocess.Popen[str]] = []

    def start_one() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "timing\n"
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def test_alone(tmp_path: Path) -> None:
    with CoLocation(tmp_path) as trials:
        trials.sample()
        assert trials.maximum == 0
    assert trials.maximum == 0
    assert not list(tmp_path.glob("*/*"))


def test_the_most_others_at_once_are_remembered(tmp_path: Path, start: Start) -> None:
    first, _second = start(), start()
    with CoLocation(tmp_path) as trials:
        assert trials.maximum == 2
        first.communicate("end\n")
        trials.sample()
        assert trials.maximum == 2


def test_one_that_comes_and_goes_between_two_samples_counts(tmp_path: Path, start: Start) -> None:
    with CoLocation(tmp_path) as trials:
        output, _ = start().communicate("end\n")
        assert output == "done\n"
        trials.sample()
        assert trials.maximum == 1


def test_one_that_comes_during_the_last_epoch_counts(tmp_path: Path, start: Start) -> None:
    with CoLocation(tmp_path) as trials:
        start()
    assert trials.maximum == 1


def test_a_killed_one_does_not_count(tmp_path: Path, start: Start) -> None:
    killed = start()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (left_behind,) = tmp_path.glob("*/*.trial")
    with CoLocation(tmp_path) as trials:
        trials.sample()
        assert trials.maximum == 0
        assert not left_behind.exists()


def test_a_fork_does_not_keep_the_lock(tmp_path: Path) -> None:
    with CoLocation(tmp_path):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # as a dataloader's worker, it outlives the timed epochs
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    with CoLocation(tmp_path) as trials:
        assert trials.maximum == 0
    os.close(writing)
    os.close(reading)
    assert os.waitpid(child, 0)[1] == 0


def test_other_users_are_seen(tmp_path: Path, start: Start) -> None:
    start()
    (own,) = tmp_path.glob("raybench-*")
    own.rename(tmp_path / "raybench-another-user")
    with CoLocation(tmp_path) as trials:
        assert trials.maximum == 1


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_a_folder_that_is_not_ours_is_a_reason(tmp_path: Path, obstacle: str) -> None:
    folder = tmp_path / f"raybench-{os.getuid()}"
    if obstacle == "file":
        folder.write_text("")
    else:
        folder.symlink_to(tmp_path)
    with CoLocation(tmp_path) as trials:
        trials.sample()
    assert isinstance(trials.maximum, Missing)
    assert str(folder) in trials.maximum.reason


def test_the_folder_is_of_this_node() -> None:
    assert node_folder().is_dir()
