"""Two drivers at once, dead ones, and ones on other nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from raybench.errors import ResultsError
from raybench.record.claim import Pace, claimed
from raybench.record.store import Experiment

QUICK = Pace(beat_s=0.02, stale_s=0.2)
HOLDS = """
import sys, time
from pathlib import Path
from raybench.record.claim import Pace, claimed
from raybench.record.store import Experiment
with claimed(Experiment(Path(sys.argv[1])), *sys.argv[2:], pace=Pace(beat_s=0.02, stale_s=0.2)):
    print("holds", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holders() -> Any:
    with ExitStack() as stack:

        def start(folder: Path, *trial_ids: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", HOLDS, str(folder), *trial_ids]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
            return process

        yield start


def elsewhere(path: Path) -> bytes:
    """Let a claim be one of another node, whose processes cannot be seen."""
    content = json.loads(path.read_bytes()) | {"machine": "far-1", "node": "far", "job": "17"}
    text = json.dumps(content).encode()
    path.write_bytes(text)
    return text


def test_a_second_driver_is_told_who_is_at_work(tmp_path: Path, holders: Any) -> None:
    process = holders(tmp_path)
    with pytest.raises(ResultsError) as caught, claimed(Experiment(tmp_path)):
        pass
    assert f"process {process.pid} on {os.uname().nodename}" in caught.value.message
    assert "since 20" in caught.value.message
    assert caught.value.exit_code == 2


def test_a_dead_drivers_claim_is_taken_over(tmp_path: Path, holders: Any) -> None:
    process = holders(tmp_path)
    process.kill()
    process.wait()
    with claimed(Experiment(tmp_path)) as claim:
        assert json.loads(claim.path.read_bytes())["process"] == os.getpid()
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_process_that_was_given_a_dead_ones_number_holds_nothing(
    tmp_path: Path, holders: Any
) -> None:
    process = holders(tmp_path)
    path = tmp_path / "claims" / "experiment.json"
    process.kill()
    content = json.loads(path.read_bytes()) | {"process": os.getpid(), "started": 1.0}
    path.write_text(json.dumps(content))
    with claimed(Experiment(tmp_path)):
        pass


def test_single_trials_share_an_experiment_and_a_grid_does_not(
    tmp_path: Path, holders: Any
) -> None:
    experiment = Experiment(tmp_path)
    holders(tmp_path, "one")
    with claimed(experiment, "other"):
        pass
    for trial_id in ("one", None):
        with pytest.raises(ResultsError, match="at work"), claimed(experiment, trial_id):
            pass
    holders(tmp_path / "grid")
    with (
        pytest.raises(ResultsError, match="at work"),
        claimed(Experiment(tmp_path / "grid"), "one"),
    ):
        pass
    assert [path.name for path in (tmp_path / "grid" / "claims").iterdir()] == ["experiment.json"]


def test_a_driver_of_another_node_lives_as_long_as_its_file_changes(
    tmp_path: Path, holders: Any
) -> None:
    holders(tmp_path).kill()
    path = tmp_path / "claims" / "experiment.json"
    content = elsewhere(path)
    ended = threading.Event()

    def beat() -> None:
        for number in range(10**6):
            path.write_bytes(content + b" " * (number % 2))
            if ended.wait(0.02):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    with (
        pytest.raises(ResultsError, match=r"on far \(job 17\)"),
        claimed(Experiment(tmp_path), pace=QUICK),
    ):
        pass
    ended.set()
    thread.join()
    started_s = time.monotonic()
    with claimed(Experiment(tmp_path), pace=QUICK):
        assert time.monotonic() - started_s >= QUICK.stale_s


def test_a_claim_beats_and_notices_that_another_took_it(tmp_path: Path) -> None:
    with claimed(Experiment(tmp_path), pace=QUICK) as claim:
        before = claim.path.read_bytes()
        wait_until(lambda: claim.path.read_bytes() not in (before, b""))
        assert len(claim.path.read_bytes()) == len(before)
        claim.path.unlink()
        wait_until(claim.path.exists)
        assert not claim.is_lost
        claim.path.write_text("another's")
        wait_until(lambda: claim.is_lost)
    assert claim.path.read_text() == "another's"


def test_a_damaged_claim_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    for content in ("", "[]", '{"process": "x"}', "[" * 5000):
        (tmp_path / "claims" / "experiment.json").write_text(content)
        with claimed(Experiment(tmp_path), pace=QUICK):
            pass
    os.mkfifo(tmp_path / "claims" / "experiment.json")
    with claimed(Experiment(tmp_path), pace=QUICK):
        pass


def test_of_many_that_take_a_dead_ones_place_one_gets_it(tmp_path: Path, holders: Any) -> None:
    holders(tmp_path).kill()
    elsewhere(tmp_path / "claims" / "experiment.json")
    got: list[str] = []
    at_once = threading.Barrier(8)

    def take() -> None:
        at_once.wait()
        try:
            with claimed(Experiment(tmp_path), pace=QUICK):
                got.append("holds")
                time.sleep(0.5)
        except ResultsError:
            got.append("refused")

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["holds", *["refused"] * 7]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
