"""Whether torch can use this machine's GPUs: its own list of architectures, and a convolution."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ENVIRONMENTS = {"current": (7, 5), "pascal-hopper": (5, 0), "kepler-pascal": (3, 7)}
"""Environments of ``cluster/environments``, with the oldest compute capability of its torch."""


@dataclass(frozen=True, kw_only=True)
class GpuCheck:
    """One GPU that torch sees.

    Attributes:
        name: the device's own name.
        compute_capability: (major, minor).
        listed: whether torch's list of architectures has kernels for it.
        problem: why a convolution cannot be trained on it, or None if it can.
    """

    name: str
    compute_capability: tuple[int, int]
    listed: bool
    problem: str | None


def environment_for(compute_capability: tuple[int, int]) -> str | None:
    """Return the environment of ``cluster/environments`` with the newest torch that has kernels.

    To compare an old GPU with a newer one, both need the environment of the older.
    """
    fitting = (name for name, oldest in ENVIRONMENTS.items() if compute_capability >= oldest)
    return next(fitting, None)


def has_kernels(architectures: Iterable[str], compute_capability: tuple[int, int]) -> bool:
    """Whether a torch built for these architectures has code for a GPU.

    Compiled code (``sm_80``) runs on later GPUs of the same major version, the intermediate one
    (``compute_80``) on all later GPUs; code with a letter (``sm_90a``) on that GPU alone. See
    "GPU Compatibility" in NVIDIA's CUDA C++ Best Practices Guide.

    Args:
        architectures: as ``torch.cuda.get_arch_list()`` gives them.
        compute_capability: (major, minor).
    """
    return any(_runs(architecture, compute_capability) for architecture in architectures)


def _runs(architecture: str, compute_capability: tuple[int, int]) -> bool:
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
    if match is None:
        return False
    built = (int(match[2]), int(match[3]))
    if match[4] == "a":
        return built == compute_capability
    if match[1] == "compute":
        return built <= compute_capability
    return built[0] == compute_capability[0] and built <= compute_capability


def check_gpus() -> list[GpuCheck]:
    """Train a small convolution on every GPU that torch sees, and compare it with the CPU's."""
    import torch  # noqa: PLC0415 - takes seconds

    architectures = torch.cuda.get_arch_list()
    checks = []
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        checks.append(
            GpuCheck(
                name=torch.cuda.get_device_name(index),
                compute_capability=capability,
                listed=has_kernels(architectures, capability),
                problem=_convolution_problem(torch.device("cuda", index)),
            )
        )
    return checks


def _convolution_problem(device: torch.device) -> str | None:
    """Return why a convolution cannot be trained on the device, or None."""
    import torch  # noqa: PLC0415

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 16, 16, generator=generator)
    weights = torch.randn(8, 3, 3, 3, generator=generator)

    def gradient(where: torch.device) -> torch.Tensor:
        trained = weights.to(where, copy=True).requires_grad_()
        loss = torch.nn.functional.conv2d(images.to(where), trained).square().mean()
        return torch.autograd.grad(loss, trained)[0].cpu()

    try:
        found = gradient(device)
    except RuntimeError as error:  # no kernel image, out of memory, cuDNN that does not start
        return str(error).strip().splitlines()[0]
    # TF32, which cuDNN may use here, keeps 10 bits: three decimal digits.
    if not torch.allclose(found, gradient(torch.device("cpu")), rtol=2e-2, atol=2e-2):
        return "its convolution gives other numbers than the CPU's"
    return None
