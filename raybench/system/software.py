"""Where a trial runs, and with which software and switches."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pynvml
from pydantic import JsonValue

import raybench
from raybench.system.cpus import allowed_cpus, cpu_model
from raybench.system.facts import EnvironmentFacts
from raybench.system.gpus import nvml_session
from raybench.system.variables import slurm_variables, speed_variables


def describe_environment() -> tuple[EnvironmentFacts, dict[str, str]]:
    """Return node, software and torch's switches as they are now, and why a field is null."""
    import torch  # noqa: PLC0415 - takes seconds, and commands import this

    node, missing = _node()
    slurm = slurm_variables()
    if not slurm:
        missing = {**missing, "slurm": "not under Slurm"}
    facts = EnvironmentFacts(
        **node,
        allowed_cpus=allowed_cpus(),
        threads=torch.get_num_threads(),
        affinity=tuple(sorted(os.sched_getaffinity(0))),
        slurm=slurm or None,
        flags=torch_flags(),
        variables=speed_variables(),
    )
    return facts, dict(missing)


def torch_flags() -> dict[str, JsonValue]:
    """Return torch's switches that change speed or results, as they are now.

    They carry the same names whatever torch's version, and say the state that is in force.
    """
    import torch  # noqa: PLC0415

    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return {
        "matmul_allow_tf32": cuda.matmul.allow_tf32,
        "cudnn_allow_tf32": _convolutions_allow_tf32(torch),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "fp16_reduced_precision_reduction": bool(
            cuda.matmul.allow_fp16_reduced_precision_reduction
        ),
        "bf16_reduced_precision_reduction": bool(
            cuda.matmul.allow_bf16_reduced_precision_reduction
        ),
        "cudnn_enabled": cudnn.enabled,
        "cudnn_benchmark": cudnn.benchmark,
        "cudnn_deterministic": cudnn.deterministic,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "onednn_enabled": _onednn_enabled(torch),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "autocast_cache": torch.is_autocast_cache_enabled(),
        "num_interop_threads": torch.get_num_interop_threads(),
        "grad_mode": torch.is_grad_enabled(),
    }


def _convolutions_allow_tf32(torch: Any) -> bool:
    """Whether cuDNN's convolutions may use TF32.

    From torch 2.9 on, each operator has a switch of its own, and the older one for all of them
    cannot be read once they differ.
    """
    convolution = getattr(torch.backends.cudnn, "conv", None)
    if convolution is None:
        return bool(torch.backends.cudnn.allow_tf32)
    return bool(convolution.fp32_precision == "tf32")


def _onednn_enabled(torch: Any) -> bool:
    onednn = torch.backends.mkldnn
    return bool(onednn.is_available() and getattr(onednn, "enabled", True))


@functools.lru_cache(maxsize=1)
def _node() -> tuple[dict[str, Any], dict[str, str]]:
    """Return what stays the same for the life of the process, and why a figure is null."""
    import torch  # noqa: PLC0415

    cudnn: Any = torch.backends.cudnn
    commit, no_commit = checkout_commit(Path(raybench.__file__).parent.parent)
    node: dict[str, Any] = {
        "hostname": socket.gethostname(),
        "torch": str(torch.__version__),
        "torch_commit": torch.version.git_version,
        "torchvision": _version("torchvision"),
        "cuda": torch.version.cuda,
        "cudnn": cudnn_version(cudnn.version()) if cudnn.is_available() else None,
        "driver": driver_version(),
        "ray": _version("ray"),
        "python": platform.python_version(),
        "raybench": raybench.__version__,
        "commit": commit,
        "os": f"{platform.system()} {platform.release()}",
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "host_memory_bytes": psutil.virtual_memory().total,
    }
    reasons = {
        "torch_commit": "torch does not say",
        "cuda": "torch was built without CUDA",
        "cudnn": "torch was built without cuDNN",
        "driver": "no NVIDIA driver on this node",
        "ray": "Ray is not installed here",
        "commit": no_commit,
        "cpu": "the kernel does not name the processor",
    }
    return node, {name: why for name, why in reasons.items() if node[name] is None}


def _version(package: str) -> str | None:
    """Return an installed package's version without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cudnn_version(number: int) -> str:
    """Return cuDNN's version as people write it: 8500 is 8.5.0, 92600 is 9.26.0."""
    major_unit = 1000 if number < 10_000 else 10_000
    major, rest = divmod(number, major_unit)
    return f"{major}.{rest // 100}.{rest % 100}"


def driver_version(nvml: Any = pynvml) -> str | None:
    """Return the version of NVIDIA's driver, or None where there is none."""
    with nvml_session(nvml) as available:
        return str(nvml.nvmlSystemGetDriverVersion()) if available else None


def checkout_commit(root: Path) -> tuple[str | None, str]:
    """Return the commit of a checkout, with + where it has changes, or None and why.

    Only a checkout whose top is ``root`` counts: a package that is installed inside somebody's
    own repository is not of that repository's commit.
    """
    if not (root / ".git").exists():
        return None, "installed without a git checkout"
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD").strip()
        changed = bool(_git(root, "status", "--porcelain", "--", "raybench").strip())
    except (OSError, subprocess.SubprocessError) as error:
        return None, f"git could not tell: {error}"
    return head + "+" * changed, ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), "--no-optional-locks", *arguments],
        capture_output=True,
        text=True,
        timeout=5,
        check=True,
    )
    return done.stdout


def peak_host_bytes() -> int:
    """Return the most memory that this process has held in RAM since its start, in bytes.

    The kernel's VmHWM: setup is part of it, as it is of what Slurm's --mem has to allow; processes
    of their own, such as the dataloader's workers, are not.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("Linux has VmHWM for every process")
