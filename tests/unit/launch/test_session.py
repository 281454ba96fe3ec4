"""How a Ray of our own starts, and what is said where it does not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raybench.errors import ClusterError
from raybench.launch import session


class FakeRay:
    """Fails to start so many times, and leaves a log as a raylet does."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.folders: list[Path] = []
        self.shutdowns = 0
        self.running = False
        services = SimpleNamespace(resolve_ip_for_localhost=lambda host: "192.0.2.2")
        self._private = SimpleNamespace(services=services)

    def is_initialized(self) -> bool:
        return self.running

    def init(self, **options: Any) -> None:
        folder = Path(options["_temp_dir"])
        self.folders.append(folder)
        if len(self.folders) <= self.failures:
            logs = folder / "session_2026-11-24_17-00-00_000000_1" / "logs"
            logs.mkdir(parents=True)
            (logs / "raylet.out").write_text(
                "first line\n" + "then this\n" * 9 + "no file handles\n"
            )
            raise RuntimeError("The node timed out during startup.\nSee the logs.")
        self.running = True

    def get_runtime_context(self) -> SimpleNamespace:
        return SimpleNamespace(gcs_address="10.0.0.1:6379")

    def shutdown(self) -> None:
        self.shutdowns += 1
        self.running = False


def start(monkeypatch: pytest.MonkeyPatch, failures: int) -> FakeRay:
    ray = FakeRay(failures)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "1")
    return ray


def test_a_ray_that_does_not_start_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = start(monkeypatch, failures=1)
    with session.connected(None):
        assert ray.running
        assert session.is_connected()
    assert len({*ray.folders}) == 2
    assert not ray.running
    assert not any(folder.exists() for folder in ray.folders)


def test_a_ray_that_never_starts_is_told_by_the_end_of_its_own_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = start(monkeypatch, failures=9)
    with pytest.raises(ClusterError) as caught, session.connected(None):
        pass
    assert len(ray.folders) == session.START_ATTEMPTS == 2
    message = caught.value.message
    assert message.startswith("Ray cannot start here: The node timed out during startup.\n")
    assert message.endswith("then this\nno file handles")
    assert "first line" not in message
    assert not any(folder.exists() for folder in ray.folders)


def test_a_cluster_that_is_connected_already_is_used_and_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = start(monkeypatch, failures=0)
    ray.running = True
    for address in (None, "10.0.0.1:6379"):
        with session.connected(address):
            pass
    assert (ray.folders, ray.shutdowns) == ([], 0)


def test_a_process_that_is_connected_elsewhere_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = start(monkeypatch, failures=0)
    ray.running = True
    with (
        pytest.raises(ClusterError, match=r"to the Ray cluster 10\.0\.0\.1:6379, not to other:1"),
        session.connected("other:1"),
    ):
        pass
    assert ray.shutdowns == 0
