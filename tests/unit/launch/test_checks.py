"""``raybench doctor``: real checks of this machine, and judgements of GPUs that others have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_nvml import FakeNvml, a10g, tesla_k80, tesla_p100
from typer.testing import CliRunner

from raybench.cli.main import application
from raybench.launch import checks as module
from raybench.launch.checks import Check, judge_gpus
from raybench.system.gpus import gpus_shown_by
from raybench.system.kernels import GpuCheck
from raybench.system.variables import INTERFERING

NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"
CURRENT = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")


def checked(
    name: str, capability: tuple[int, int], *, listed: bool = True, problem: str | None = None
) -> GpuCheck:
    return GpuCheck(name=name, compute_capability=capability, listed=listed, problem=problem)


def judged(*gpus: GpuCheck, nvml: FakeNvml | None = None, required: bool = False) -> list[Check]:
    seen = gpus_shown_by(None, nvml or FakeNvml(driver=None))
    return list(
        judge_gpus(seen, gpus, torch_version="2.15.0", architectures=CURRENT, required=required)
    )


def test_a_gpu_that_works_is_named_with_its_label() -> None:
    (check,) = judged(checked("NVIDIA A10G", (8, 6)))
    assert check == Check(
        "GPU", "ok", "NVIDIA A10G, compute capability 8.6: A10G, a convolution ran"
    )


@pytest.mark.parametrize(
    ("name", "capability", "hint"),
    [
        ("Tesla K80", (3, 7), "cluster/environments/kepler-pascal"),
        ("Tesla P100-PCIE-16GB", (6, 0), "cluster/environments/pascal-hopper"),
        ("NVIDIA GeForce RTX 5090", (12, 0), "cluster/environments/current"),
        ("Tesla K40m", (3, 5), "leave this GPU out"),
    ],
)
def test_a_torch_without_kernels_names_the_environment(
    name: str, capability: tuple[int, int], hint: str
) -> None:
    (check,) = judged(checked(name, capability, listed=False, problem=NO_KERNEL))
    assert check.status == "FAIL"
    assert name in check.found
    assert "torch 2.15.0 has no kernels for it, only for sm_75, sm_80" in check.found
    assert check.hint is not None
    assert hint in check.hint


def test_a_convolution_that_fails_says_why() -> None:
    (check,) = judged(checked("NVIDIA A10G", (8, 6), problem="CUDA out of memory."))
    assert check.status == "FAIL"
    assert check.found.endswith("a convolution fails: CUDA out of memory.")


def test_a_gpu_without_a_label_is_a_warning() -> None:
    (check,) = judged(checked("NVIDIA GeForce GTX 1660 Ti", (7, 5)))
    assert check.status == "warn"
    assert "no label fits" in check.found


def test_gpus_that_torch_does_not_see() -> None:
    (check,) = judged(nvml=FakeNvml(tesla_k80(), tesla_p100(), a10g()))
    assert check.status == "FAIL"
    assert "Tesla K80, Tesla P100-PCIE-16GB, NVIDIA A10G" in check.found
    assert check.hint is not None
    assert "kepler-pascal" in check.hint
    assert "current" in check.hint


def test_having_no_gpu_fails_only_where_one_is_needed() -> None:
    assert [check.status for check in judged()] == ["warn"]
    assert [check.status for check in judged(required=True)] == ["FAIL"]


def test_a_broken_package_fails_with_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text("raise RuntimeError('no operator\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    check = module._package("broken_package", "Broken")
    assert (check.status, check.found) == ("FAIL", "cannot be imported: RuntimeError: no operator")
    assert check.hint


def test_folders_are_tried_and_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "deep"
    assert module._writable("results", folder, "RAYBENCH_RESULTS").status in ("ok", "warn")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    check = module._writable("results", tmp_path / "file" / "results", "RAYBENCH_RESULTS")
    assert check.status == "FAIL"
    assert str(tmp_path / "file") in check.found
    assert check.hint == "name another folder by RAYBENCH_RESULTS"


@pytest.mark.parametrize(
    ("commands", "status", "found"),
    [
        ({}, "warn", "not on this machine"),
        ({"srun": "", "sbatch": ""}, "warn", "not found: scontrol, squeue, scancel"),
        (dict.fromkeys(module.SLURM_COMMANDS, "echo slurm 24.05"), "ok", "slurm 24.05"),
        (dict.fromkeys(module.SLURM_COMMANDS, "exit 1"), "warn", "sbatch does not work"),
    ],
)
def test_slurm_may_be_absent_or_in_part(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    commands: dict[str, str],
    status: str,
    found: str,
) -> None:
    for name, body in commands.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    check = module._slurm()
    assert check.status == status
    assert found in check.found


def test_variables_that_falsify_a_measurement_are_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in INTERFERING:
        monkeypatch.delenv(name, raising=False)
    assert list(module._variables()) == []
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    (check,) = module._variables()
    assert (check.status, check.hint) == ("warn", "unset CUDA_LAUNCH_BLOCKING")


def test_the_whole_of_it_on_this_machine(tmp_path: Path) -> None:
    options = ["doctor", "--results", str(tmp_path / "results"), "--data", str(tmp_path)]
    done = CliRunner().invoke(application, [*options, "--json"])
    report = json.loads(done.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert set(checks) >= {"Python", "raybench", "Ray", "torch", "torchvision", "GPU", "Slurm"}
    assert checks["Ray"]["status"] == checks["torchvision"]["status"] == "ok"
    assert checks["datasets"]["status"] == "warn"
    assert "raybench data fetch cifar10 mnist" in checks["datasets"]["hint"]
    for check in report["checks"]:
        assert (check["hint"] is None) == (check["status"] == "ok"), check
    assert report["ok"] == all(check["status"] != "FAIL" for check in report["checks"])
    assert done.exit_code == (0 if report["ok"] else 1)


def test_one_line_a_check_and_exit_1_on_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ["doctor", "--results", str(tmp_path / "file" / "results")]
    done = CliRunner().invoke(application, options)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    failed = next(index for index, line in enumerate(lines) if line.startswith("FAIL  results"))
    assert "hint:" in lines[failed + 1]
    assert "RAYBENCH_RESULTS" in lines[failed + 1]
