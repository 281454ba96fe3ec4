"""Environment variables that change what a trial measures; nothing else here reads them.

raybench's own are in ``raybench.settings``; these are of CUDA, OpenMP, torch, Python and Slurm.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

VARIABLES = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|ONEDNN|DNNL|CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|TORCH|TORCHINDUCTOR"
    r"|TRITON|PYTORCH|RAYBENCH|MALLOC)_\w+|LD_PRELOAD|PYTHON(HASHSEED|MALLOC|DEVMODE)"
)
"""Names of environment variables that change speed or results."""

SECRET = re.compile(r"TOKEN|KEY|PASSW|SECRET|CREDENTIAL|AUTH", re.IGNORECASE)
"""Names that are never recorded, whatever they begin with."""

INTERFERING = {
    "CUDA_LAUNCH_BLOCKING": "each kernel waits for the end of the one before",
    "NVIDIA_TF32_OVERRIDE": "overrules the precision that the spec asks for",
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "each tensor is allocated from the driver anew",
    "PYTHONDEVMODE": "Python checks itself as it runs",
}
"""Variables under which a trial does not measure what its spec says, and why."""

SLURM_VARIABLES = (
    "JOB_ID",
    "ARRAY_JOB_ID",
    "ARRAY_TASK_ID",
    "HET_JOB_ID",
    "STEP_ID",
    "CLUSTER_NAME",
    "JOB_PARTITION",
    "JOB_NUM_NODES",
    "JOB_NODELIST",
    "NODEID",
    "CPUS_ON_NODE",
    "CPUS_PER_TASK",
    "MEM_PER_NODE",
    "MEM_PER_CPU",
    "JOB_GRES",
    "STEP_GRES",
    "JOB_GPUS",
    "STEP_GPUS",
    "GPUS",
    "GPUS_ON_NODE",
    "GPUS_PER_NODE",
    "GPUS_PER_TASK",
)
"""What Slurm tells a job of itself, each with ``SLURM_`` before it; GRES types stand in GPUS_…."""


def variable(name: str) -> str | None:
    """Return an environment variable of this process as it is now, or None if it is not set."""
    return os.environ.get(name)


def speed_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that change speed or results, and no secret."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if VARIABLES.fullmatch(name) and not SECRET.search(name)
    }


def interfering_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each variable that is set and keeps a trial from measuring truly."""
    given = {name: environ.get(name, "") for name in INTERFERING}
    # TF32 is overruled by 0 as by 1; the others are off at 0.
    return [
        f"{name}={value} is set: {INTERFERING[name]}"
        for name, value in given.items()
        if value and (value != "0" or name == "NVIDIA_TF32_OVERRIDE")
    ]


def slurm_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what Slurm tells this job of itself, or {} outside of Slurm."""
    return {
        name.lower(): environ[f"SLURM_{name}"]
        for name in SLURM_VARIABLES
        if f"SLURM_{name}" in environ
    }
