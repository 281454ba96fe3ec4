"""Which environment variables are recorded, which interfere, and that no secret gets through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raybench.system.variables import interfering_variables, slurm_variables, speed_variables


def test_variables_that_change_speed_are_kept_and_secrets_never() -> None:
    assert speed_variables(
        {
            "OMP_NUM_THREADS": "4",
            "CUDA_VISIBLE_DEVICES": "0",
            "NVIDIA_TF32_OVERRIDE": "0",
            "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
            "TORCH_HUB_TOKEN": "secret",
            "NCCL_SECRET": "secret",
            "RAYBENCH_API_KEY": "secret",
            "CUDA_PASSWORD": "secret",
            "RAY_AUTH_TOKEN": "secret",
            "RAY_AUTH_TOKEN_PATH": "/secret",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "HOME": "/home/anna",
        }
    ) == {
        "CUDA_VISIBLE_DEVICES": "0",
        "NVIDIA_TF32_OVERRIDE": "0",
        "OMP_NUM_THREADS": "4",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    }


def test_variables_that_interfere_are_named() -> None:
    assert interfering_variables({"CUDA_LAUNCH_BLOCKING": "0", "OMP_NUM_THREADS": "1"}) == []
    blocking, tf32 = interfering_variables(
        {"CUDA_LAUNCH_BLOCKING": "1", "NVIDIA_TF32_OVERRIDE": "0", "PYTHONDEVMODE": ""}
    )
    assert blocking.startswith("CUDA_LAUNCH_BLOCKING=1 is set: each kernel waits")
    assert tf32.startswith("NVIDIA_TF32_OVERRIDE=0 is set: overrules the precision")


@given(
    st.sampled_from(["OMP_", "CUDA_", "NCCL_", "TORCH_", "RAYBENCH_", "RAY_"]),
    st.sampled_from(["token", "KEY", "Password", "secret", "CREDENTIALS", "auth"]),
    st.text(alphabet="ABC_", max_size=5),
)
def test_no_name_of_a_secret_gets_through(prefix: str, secret: str, suffix: str) -> None:
    assert speed_variables({prefix + suffix + secret + suffix: "value"}) == {}


def test_slurm_tells_of_the_job() -> None:
    assert slurm_variables(
        {
            "SLURM_JOB_ID": "1203",
            "SLURM_JOB_PARTITION": "gpu",
            "SLURM_GPUS_ON_NODE": "2",
            "SLURM_JWT": "secret",
            "HOME": "/home/anna",
        }
    ) == {"job_id": "1203", "job_partition": "gpu", "gpus_on_node": "2"}
    assert slurm_variables({"HOME": "/home/anna"}) == {}
