from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

import pytest
from ray.dashboard.modules.job.common import JobStatus

from raybench.errors import ClusterError
from raybench.launch import jobs
from raybench.spec.grid import parse_settings
from raybench.spec.trial import trial_spec

GIVEN = {
    "model": "resnet18",
    "dataset": "mnist",
    "hardware": "K80",
    "epochs": 1,
    "precision": "fp32",
}


def test_entrypoint_is_the_same_run() -> None:
    spec = trial_spec(GIVEN)
    words = shlex.split(jobs.entrypoint(spec, GIVEN))
    assert words[:6] == ["raybench", "run", "resnet18", "mnist", "--hardware", "K80"]
    settings = [word for word in words[6:] if word != "-s"]
    again = {**GIVEN, **parse_settings(settings)}
    assert trial_spec(again) == spec
    assert parse_settings(settings) == {"epochs": 1, "precision": "fp32"}


def test_entrypoint_passes_nothing_to_the_shell() -> None:
    given = {**GIVEN, "model": "package.module:build", "optimizer": "sgd"}
    command = jobs.entrypoint(trial_spec(given), {**given, "dataset": "mnist; touch /tmp/x"})
    assert "touch" not in command
    assert shlex.join(shlex.split(command)) == command


def test_reservation_of_a_gpu() -> None:
    reserved = jobs.reservation(trial_spec(GIVEN))
    assert reserved == {
        "entrypoint_num_cpus": 3,
        "entrypoint_num_gpus": 1,
        "entrypoint_resources": {"K80": 1, "raybench_node": 0.001},
    }


def test_reservation_of_processors() -> None:
    reserved = jobs.reservation(trial_spec({**GIVEN, "hardware": "cpu:2", "isolation": "node"}))
    assert reserved == {
        "entrypoint_num_cpus": 2,
        "entrypoint_resources": {"raybench_node": 1},
    }


class Ended:
    """A job's client, after the job."""

    def __init__(self, status: str, code: int | None) -> None:
        self.info = SimpleNamespace(
            status=JobStatus(status), driver_exit_code=code, message="how it ended"
        )

    async def tail_job_logs(self, job_id: str) -> Any:
        yield "epoch 1\n"
        yield "epoch 2\n"

    def get_job_status(self, job_id: str) -> JobStatus:
        return self.info.status

    def get_job_info(self, job_id: str) -> SimpleNamespace:
        return self.info


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("SUCCEEDED", 0, 0), ("FAILED", 1, 1), ("FAILED", 3, 3), ("STOPPED", None, 130)],
)
def test_follow_returns_the_exit_code(status: str, code: int | None, expected: int) -> None:
    shown: list[str] = []
    client: Any = Ended(status, code)
    assert jobs.follow(client, "job", shown.append) == expected
    assert "".join(shown) == "epoch 1\nepoch 2\n"


def test_follow_says_how_a_job_ended_that_never_ran() -> None:
    client: Any = Ended("FAILED", None)
    with pytest.raises(ClusterError, match="how it ended"):
        jobs.follow(client, "job", lambda text: None)


def test_connect_where_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ClusterError, match=r"cannot submit to http://127\.0\.0\.1:9"):
        jobs.connect("http://127.0.0.1:9")
