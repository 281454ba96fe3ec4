"""What ``raybench doctor`` checks: whether this machine can run trials, and what to do if not."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import raybench
from raybench.catalog.datasets import DATASETS, listed
from raybench.catalog.hardware import ADD_A_ROW, label_of
from raybench.errors import ResultsError
from raybench.record.files import check_writable
from raybench.settings import Workspace
from raybench.system.cpus import allowed_cpus, cpu_model
from raybench.system.gpus import GpuFacts, visible_gpus
from raybench.system.kernels import GpuCheck, check_gpus, environment_for
from raybench.system.software import (
    checkout_commit,
    cudnn_version,
    driver_version,
)
from raybench.system.variables import interfering_variables
from raybench.trial.measure.contention import SHARED_MEMORY

SLURM_COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "scancel")
LITTLE_DISK_BYTES = 1 << 30
LITTLE_SHARED_MEMORY_BYTES = 1 << 29


@dataclass(frozen=True)
class Check:
    """What was found, and what to do about it."""

    name: str
    status: Literal["ok", "warn", "FAIL"]
    found: str
    hint: str | None = None


def all_checks(workspace: Workspace) -> Iterator[Check]:
    """Make every check, the quick ones first."""
    yield _python()
    yield _raybench()
    yield _processors()
    yield _shared_memory()
    yield from _variables()
    yield _slurm()
    yield from _datasets(workspace.data)
    yield _writable("results", workspace.results, "RAYBENCH_RESULTS")
    yield _writable("dataset cache", workspace.cache, "RAYBENCH_CACHE")
    yield _package("ray.tune", "Ray")
    yield from gpu_checks(required=False)
    yield _package("torchvision", "torchvision")


# -- the host --------------------------------------------------------------------------------------


def _python() -> Check:
    return Check("Python", "ok", platform.python_version())


def _raybench() -> Check:
    commit, reason = checkout_commit(Path(raybench.__file__).parent.parent)
    return Check("raybench", "ok", f"{raybench.__version__}, {commit or reason}")


def _processors() -> Check:
    allowed, present = allowed_cpus(), os.cpu_count()
    labels = "cpu:1" if allowed == 1 else f"cpu:1 to cpu:{allowed}"
    found = f"{cpu_model() or 'of unknown model'}, {allowed} of {present} may be used: {labels}"
    return Check("processors", "ok", found)


def _shared_memory() -> Check:
    if not SHARED_MEMORY.is_dir():
        return Check("shared memory", "FAIL", f"no {SHARED_MEMORY}", "mount a tmpfs there")
    size = shutil.disk_usage(SHARED_MEMORY).total
    if size < LITTLE_SHARED_MEMORY_BYTES:
        hint = "give the container more, such as --shm-size=2g: dataloader workers and Ray use it"
        return Check("shared memory", "warn", f"{_size(size)} in {SHARED_MEMORY}", hint)
    return Check("shared memory", "ok", f"{_size(size)} in {SHARED_MEMORY}")


def _variables() -> Iterator[Check]:
    for sentence in interfering_variables():
        yield Check("variables", "warn", sentence, f"unset {sentence.partition('=')[0]}")


def _slurm() -> Check:
    absent = [command for command in SLURM_COMMANDS if shutil.which(command) is None]
    if len(absent) == len(SLURM_COMMANDS):
        hint = "nothing, unless this should be a Slurm cluster; there, load its module"
        return Check("Slurm", "warn", "not on this machine", hint)
    if absent:
        hint = "add Slurm's bin folder to PATH"
        return Check("Slurm", "warn", f"not found: {', '.join(absent)}", hint)
    try:
        done = subprocess.run(
            ["sbatch", "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Check("Slurm", "warn", f"sbatch does not work: {error}", "ask the cluster's support")
    return Check("Slurm", "ok", done.stdout.strip())


def _datasets(root: Path) -> Iterator[Check]:
    rows = listed(root)
    present = [row.name for row in rows if row.state == "present"]
    absent = [row.name for row in rows if row.name not in present]
    yield Check("datasets", "ok", f"{', '.join(present)} ({root})")
    if absent:
        known = [row.name for row in rows if row.title is not None and row.name in absent]
        wanted = " ".join(name for name in known if not DATASETS[name].source.nothing_to_do)
        hint = f"raybench data fetch {wanted}, where there is internet"
        hint = hint if wanted else "`raybench data list` and `raybench data verify` say more"
        yield Check("datasets", "warn", f"absent: {', '.join(absent)}", hint)


def _writable(name: str, folder: Path, variable: str) -> Check:
    """Check a folder, or if it is yet to be made the one that it will be made in."""
    folder = there = folder.absolute()
    while not there.exists():
        there = there.parent
    hint = f"name another folder by {variable}"
    if not there.is_dir():
        return Check(name, "FAIL", f"{folder} cannot be made: {there} is a file", hint)
    try:
        check_writable(there)
    except ResultsError as error:
        return Check(name, "FAIL", error.message, hint)
    free = shutil.disk_usage(there).free
    found = f"{folder} can be written, {_size(free)} free"
    if free < LITTLE_DISK_BYTES:
        return Check(name, "warn", found, f"make room, or {hint}")
    return Check(name, "ok", found)


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


# -- Ray and torch ---------------------------------------------------------------------------------


def _package(module: str, title: str) -> Check:
    """Import a package, which is where a broken or mismatched installation shows."""
    loaded = _loaded(module, title)
    if isinstance(loaded, Check):
        return loaded
    top = importlib.import_module(module.partition(".")[0])
    return Check(title, "ok", str(top.__version__))


def _loaded(module: str, title: str) -> Any | Check:
    try:
        return importlib.import_module(module)
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything
        reason = (str(error).strip().splitlines() or [""])[0]
        found = f"cannot be imported: {type(error).__name__}: {reason}"
        return Check(title, "FAIL", found, "install raybench anew: pip install --force-reinstall .")


def gpu_checks(*, required: bool) -> Iterator[Check]:
    """Check torch and each GPU that this process may use.

    Args:
        required: whether a machine without a GPU fails.
    """
    torch = _loaded("torch", "torch")
    if isinstance(torch, Check):
        yield torch
        return
    yield _torch(torch)
    yield from judge_gpus(
        visible_gpus(),
        check_gpus(),
        torch_version=str(torch.__version__),
        architectures=torch.cuda.get_arch_list(),
        required=required,
    )


def _torch(torch: Any) -> Check:
    try:
        torch.zeros(1).numpy()
    except RuntimeError as error:
        found = f"{torch.__version__} does not work with the installed NumPy: {error}"
        return Check("torch", "FAIL", found, "torch before 2.3 needs it: pip install 'numpy<2'")
    parts = [str(torch.__version__)]
    parts.append(f"CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA")
    cudnn = torch.backends.cudnn
    if cudnn.is_available():
        parts.append(f"cuDNN {cudnn_version(cudnn.version())}")
    parts.append(f"driver {driver}" if (driver := driver_version()) else "no NVIDIA driver")
    return Check("torch", "ok", ", ".join(parts))


def judge_gpus(
    seen: Sequence[GpuFacts],
    checked: Sequence[GpuCheck],
    *,
    torch_version: str,
    architectures: Sequence[str],
    required: bool,
) -> Iterator[Check]:
    """Say of each GPU whether trials can run on it.

    Args:
        seen: the GPUs that NVML shows this process.
        checked: the GPUs that torch shows it, each tried.
        torch_version: torch's own version.
        architectures: those that torch was built for.
        required: whether a machine without a GPU fails.
    """
    if not seen and not checked:
        found = "none that the driver or CUDA_VISIBLE_DEVICES shows"
        if required:
            yield Check("GPU", "FAIL", found, "ask Slurm for one (--gres), or see nvidia-smi")
        else:
            yield Check("GPU", "warn", found, "nothing, if only cpu:N is to be measured here")
    elif not checked:
        names = ", ".join(gpu.name for gpu in seen)
        environments = {_environment(gpu.compute_capability) for gpu in seen}
        yield Check(
            "GPU",
            "FAIL",
            f"{names}: NVML sees it, torch {torch_version} does not",
            f"{' or '.join(sorted(environments))}; if that sees none either, the driver is too old",
        )
    for gpu in checked:
        yield _judge(gpu, torch_version, architectures)


def _judge(gpu: GpuCheck, torch_version: str, architectures: Sequence[str]) -> Check:
    major, minor = gpu.compute_capability
    what = f"{gpu.name}, compute capability {major}.{minor}"
    if not gpu.listed and gpu.problem:
        built = ", ".join(architectures)
        found = f"{what}: torch {torch_version} has no kernels for it, only for {built}"
        return Check("GPU", "FAIL", found, _environment(gpu.compute_capability))
    if gpu.problem:
        found = f"{what}: a convolution fails: {gpu.problem}"
        return Check("GPU", "FAIL", found, "see whether nvidia-smi shows the GPU free and healthy")
    label = label_of(gpu.name)
    if label is None:
        hint = f"{ADD_A_ROW}, or set verify_hardware=false"
        return Check("GPU", "warn", f"{what}: a convolution ran, but no label fits it", hint)
    return Check("GPU", "ok", f"{what}: {label}, a convolution ran")


def _environment(compute_capability: tuple[int, int] | None) -> str:
    name = environment_for(compute_capability) if compute_capability else "current"
    if name is None:
        return "leave this GPU out: no torch that raybench runs on has kernels for it"
    return f"use the environment cluster/environments/{name}"
