"""Where and with what a trial runs, checked against torch, /proc and git themselves."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_nvml import FakeNvml, tesla_p100

from raybench.system.software import (
    checkout_commit,
    cudnn_version,
    describe_environment,
    driver_version,
    torch_flags,
)
from raybench.system.variables import SLURM_VARIABLES


@pytest.fixture
def restored_switches() -> Iterator[None]:
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.backends.cuda.matmul.allow_tf32 = matmul
    torch.backends.cudnn.allow_tf32 = convolution
    torch.backends.cudnn.benchmark = benchmark


def test_every_null_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SLURM_VARIABLES:
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    facts, missing = describe_environment()
    assert {name for name, value in facts if value is None} == set(missing)
    assert missing["slurm"] == "not under Slurm"


def test_it_agrees_with_outside_observers() -> None:
    facts, _ = describe_environment()
    assert facts.torch == torch.__version__
    assert facts.hostname == platform.node()
    assert facts.threads == torch.get_num_threads()
    assert set(facts.affinity) == os.sched_getaffinity(0)
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert facts.host_memory_bytes == int(meminfo["MemTotal"].split()[0]) * 1024
    assert facts.cpu_count == os.cpu_count()
    assert 1 <= facts.allowed_cpus <= len(facts.affinity)


def test_slurm_tells_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1203")
    monkeypatch.setenv("SLURM_JWT", "secret")
    facts, missing = describe_environment()
    assert facts.slurm is not None
    assert facts.slurm["job_id"] == "1203"
    assert "slurm" not in missing
    assert "secret" not in facts.model_dump_json()


@pytest.mark.usefixtures("restored_switches")
@pytest.mark.parametrize("on", [True, False])
def test_flags_are_the_state_in_force(on: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = not on
    torch.backends.cudnn.benchmark = on
    flags = torch_flags()
    assert flags["matmul_allow_tf32"] is on
    assert flags["cudnn_allow_tf32"] is not on
    assert flags["cudnn_benchmark"] is on
    assert flags["deterministic_algorithms"] is False
    assert flags["float32_matmul_precision"] == ("high" if on else "highest")


@pytest.mark.usefixtures("restored_switches")
@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch has one switch")
def test_switches_for_single_operators_are_read() -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    assert torch_flags()["cudnn_allow_tf32"] is False


@pytest.mark.parametrize(
    ("number", "version"), [(8500, "8.5.0"), (8902, "8.9.2"), (90100, "9.1.0"), (92600, "9.26.0")]
)
def test_cudnn_s_number_is_read(number: int, version: str) -> None:
    assert cudnn_version(number) == version


def test_the_driver_is_asked_for_its_version() -> None:
    assert driver_version(FakeNvml(tesla_p100())) == "418.67"
    assert driver_version(FakeNvml(driver=None)) is None


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Anna", "-c", "user.email=anna@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_of_the_checkout_itself(tmp_path: Path) -> None:
    module = tmp_path / "raybench" / "module.py"
    module.parent.mkdir()
    module.write_text("")
    assert checkout_commit(tmp_path) == (None, "installed without a git checkout")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    commit, _ = checkout_commit(tmp_path)
    assert commit is not None
    assert head.startswith(commit)
    (tmp_path / "results.json").write_text("{}")  # no part of the program
    assert checkout_commit(tmp_path)[0] == commit
    module.write_text("changed = True\n")
    assert checkout_commit(tmp_path)[0] == f"{commit}+"
    # Installed somewhere inside a repository that is not raybench's.
    assert checkout_commit(tmp_path / "raybench")[0] is None


def test_without_git_the_commit_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    commit, reason = checkout_commit(tmp_path)
    assert commit is None
    assert "git" in reason


def test_peak_memory_is_the_most_that_was_held() -> None:
    program = """
from raybench.system.software import peak_host_bytes
before = peak_host_bytes()
held = b"x" * (before + 64_000_000)
del held
print(before, peak_host_bytes())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    before, after = map(int, done.stdout.split())
    assert after >= before + 64_000_000
