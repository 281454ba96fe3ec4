"""Which GPUs a torch has code for."""

from __future__ import annotations

import pytest
import torch

from raybench.system.kernels import _convolution_problem, check_gpus, environment_for, has_kernels

# torch.cuda.get_arch_list() of torch 2.0.1+cu117 and 2.15.0+cu132 from PyPI.
OLD = ("sm_37", "sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86")
CURRENT = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")


@pytest.mark.parametrize(
    ("gpu", "capability", "old", "current"),
    [
        ("K40", (3, 5), False, False),
        ("K80", (3, 7), True, False),
        ("M40", (5, 2), True, False),
        ("P100", (6, 0), True, False),
        ("P40", (6, 1), True, False),
        ("V100", (7, 0), True, False),
        ("T4", (7, 5), True, True),
        ("A100", (8, 0), True, True),
        ("L40S", (8, 9), True, True),
        ("H100", (9, 0), False, True),
        ("B200", (10, 0), False, True),
        ("RTX5090", (12, 0), False, True),
    ],
)
def test_each_generation_finds_its_torch(
    gpu: str, capability: tuple[int, int], old: bool, current: bool
) -> None:
    assert has_kernels(OLD, capability) is old
    assert has_kernels(CURRENT, capability) is current
    environment = environment_for(capability)
    assert (environment is None) is not (old or current)
    assert environment != "current" or current
    assert environment != "kepler-pascal" or old


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
