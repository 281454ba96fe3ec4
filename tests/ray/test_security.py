"""A local grid while it runs: who gets to its Ray, and how its driver takes what befalls it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

NOBODY = 65534
LIMIT_S = 900
GRID = """
name: unit
model: ["small_models:small", "small_models:endless"]
dataset: digits
hardware: "cpu:1"
isolation: node
epochs: 40
batch_size: 32
image_size: 16
train_limit: 1400
eval_limit: 50
warmup_steps: 1
"""


class LocalGrid:
    """A grid on a Ray of its own, with one trial that is complete and one that does not end.

    Args:
        results: where the records go.
        temporary: in place of /tmp.
    """

    def __init__(self, results: Path, temporary: Path) -> None:
        self.results, self.temporary = results, temporary
        grid = results / "grid.yaml"
        grid.write_text(GRID)
        with (results / "log").open("w") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "raybench", "grid", str(grid), f"--results={results}"],
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(temporary)},
                start_new_session=True,
            )
        deadline = time.monotonic() + LIMIT_S
        while "endless · digits · cpu:1: epoch 1" not in self.said():
            assert self.driver.poll() is None, self.said()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.processes = psutil.Process(self.driver.pid).children(recursive=True)

    def said(self) -> str:
        """Return what the driver has said so far."""
        return (self.results / "log").read_text()

    def statuses(self) -> list[str]:
        """Return how the trials ended that have a record."""
        records = (self.results / "unit" / "records").glob("*.json")
        return [json.loads(path.read_text())["status"] for path in records]

    def folder(self) -> Path:
        """Return the folder of its Ray."""
        (found,) = self.temporary.glob("raybench-ray-*")
        return found

    def end(self) -> str:
        """Wait for the driver's end, and return what it said."""
        self.driver.wait(timeout=LIMIT_S)
        assert [path.name for path in self.temporary.iterdir()] == [], self.said()
        assert sorted(self.statuses()) == ["completed", "interrupted"]
        return self.said()

    def kill(self) -> None:
        """End it if it still runs."""
        if self.driver.poll() is None:
            os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalGrid]:
    with tempfile.TemporaryDirectory(prefix="rb", dir="/tmp") as temporary:
        Path(temporary).chmod(0o777)  # worse than /tmp, which is sticky
        grid = LocalGrid(tmp_path, Path(temporary))
        yield grid
        grid.kill()


def refused_to_nobody(*command: object) -> bool:
    """Return whether another user of this machine may not do something."""
    done = subprocess.run(
        [str(part) for part in command],
        user=NOBODY, group=NOBODY, extra_groups=[], check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode != 0 and "Permission denied" in done.stderr


def test_nobody_else_gets_in_and_sigterm_ends_in_records_and_tables(local: LocalGrid) -> None:
    folder = local.folder()
    logs = next(folder.glob("r/session_2*/logs"))
    (socket,) = folder.glob("t/pymp-*/listener-*")
    # Ray opens what is its own to everybody, in folders that keep everybody out.
    assert logs.stat().st_mode & 0o777 == 0o777
    assert all(path.stat().st_mode & 0o777 == 0o700 for path in (folder, folder / "t"))
    if os.getuid() == 0:
        assert refused_to_nobody("ls", folder)
        assert refused_to_nobody("cat", logs / "gcs_server.out")
        assert refused_to_nobody("touch", logs / "planted")
        assert refused_to_nobody("mv", socket.parent, folder / "t" / "moved")
        assert refused_to_nobody("mv", folder / "r", folder / "moved")
    assert not outward_ports([local.driver.pid, *(process.pid for process in local.processes)])

    local.driver.send_signal(signal.SIGTERM)
    said = local.end()
    assert local.driver.returncode == 130, said
    assert "SIGTERM: stopping the running trials" in said
    assert "Running time (s)" in said
    assert "***" not in said
    assert "[state-dump]" not in said


def outward_ports(pids: list[int]) -> list[str]:
    """Return where processes listen other than on the loopback."""
    found = []
    for pid in pids:
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            continue
        found += [str(each) for each in connections if each.status == psutil.CONN_LISTEN]
    assert found, "nothing listens at all"
    return [text for text in found if not re.search(r"ip='(::ffff:)?127\.0\.0\.1'", text)]


def test_the_death_of_rays_head_is_told_with_what_to_do(local: LocalGrid) -> None:
    (head,) = [process for process in local.processes if process.name() == "gcs_server"]
    head.kill()
    said = local.end()
    assert local.driver.returncode == 1, said
    assert re.search(r"stopped: Ray's head at 127\.0\.0\.1:\d+ has died\.", said)
    assert "The same command measures the rest" in said
    assert "Running time (s)" in said
    assert "rpc_client.h" not in said
    assert "Traceback" not in said
