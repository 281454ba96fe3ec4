"""What srun runs on each node, with recorded scontrol output and no GPU's driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_jobs import recorded_scontrol, step_environment

from raybench.launch.batch.resources import NodeResources
from raybench.slurm import allocation, node
from raybench.slurm.node import main

K80 = NodeResources(cpus=3, gpus=1, label="K80", verified=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process a task on k80-1."""
    given = {
        "SLURM_JOB_ID": "7",
        "SLURMD_NODENAME": "k80-1",
        "SLURM_CPUS_ON_NODE": "3",
        "SLURM_GPUS_ON_NODE": "1",
        **step_environment(tmp_path).variables(),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(allocation, "scontrol", recorded_scontrol)
    return tmp_path


def test_what_is_printed_is_what_starts_ray(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[tuple[NodeResources, str]] = []
    monkeypatch.setattr(node, "start", lambda found, name, environ: begun.append((found, name)))
    assert main(["resources"]) == 0
    assert main(["start", capsys.readouterr().out]) == 0
    assert begun == [(K80, "k80-1")]


@pytest.mark.usefixtures("here")
def test_what_goes_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "k80-9")
    assert main(["resources"]) == 2
    assert "the scheduler names none\nallowed: A10, " in capsys.readouterr().err


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["offer"]) == 2
    assert "allowed: resources, or start JSON" in capsys.readouterr().err
