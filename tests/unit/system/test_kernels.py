"""Which GPUs a torch has code for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raybench.system.kernels import (
    ENVIRONMENTS,
    _convolution_problem,
    check_gpus,
    environment_for,
    has_kernels,
)

# torch.cuda.get_arch_list() of torch 2.0.1+cu117 and 2.15.0+cu132 from PyPI.
OLD = ("sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86")
# What PyTorch's build script and release notes name for the builds of 2.14 for CUDA 12.6.
CUDA_12_6 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
CURRENT = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")


@pytest.mark.parametrize(
    ("gpu", "capability", "environments"),
    [
        ("K40", (3, 5), ""),
        ("K80", (3, 7), "kepler-pascal"),
        ("M40", (5, 2), "pascal-hopper kepler-pascal"),
        ("P100", (6, 0), "pascal-hopper kepler-pascal"),
        ("P40", (6, 1), "pascal-hopper kepler-pascal"),
        ("V100", (7, 0), "pascal-hopper kepler-pascal"),
        ("T4", (7, 5), "current pascal-hopper kepler-pascal"),
        ("A100", (8, 0), "current pascal-hopper kepler-pascal"),
        ("L40S", (8, 9), "current pascal-hopper kepler-pascal"),
        ("H100", (9, 0), "current pascal-hopper"),
        ("B200", (10, 0), "current"),
        ("RTX5090", (12, 0), "current"),
    ],
)
def test_each_generation_finds_its_torch(
    gpu: str, capability: tuple[int, int], environments: str
) -> None:
    built = {"current": CURRENT, "pascal-hopper": CUDA_12_6, "kepler-pascal": OLD}
    fitting = [
        name for name, architectures in built.items() if has_kernels(architectures, capability)
    ]
    assert " ".join(fitting) == environments
    assert environment_for(capability) == (fitting[0] if fitting else None)


def test_each_environment_has_its_file() -> None:
    folder = Path(__file__).parents[3] / "cluster" / "environments"
    assert {path.stem for path in folder.glob("*.txt")} == set(ENVIRONMENTS)


def test_intermediate_code_runs_on_later_gpus_and_special_code_on_one() -> None:
    assert has_kernels(["compute_80"], (9, 0))
    assert not has_kernels(["compute_80"], (7, 5))
    assert has_kernels(["sm_90a"], (9, 0))
    assert not has_kernels(["sm_100a"], (10, 3))
    assert not has_kernels(["gfx90a", ""], (9, 0))


def test_the_convolution_runs_and_says_what_fails() -> None:
    assert _convolution_problem(torch.device("cpu")) is None
    problem = _convolution_problem(torch.device("vulkan"))
    assert problem
    assert "\n" not in problem


def test_every_gpu_that_torch_sees_is_checked() -> None:
    assert len(check_gpus()) == torch.cuda.device_count()
