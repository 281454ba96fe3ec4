"""What Slurm gave a job, read from recordings of scontrol (Slurm 22.05)."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_jobs import RECORDED, recorded_scontrol

from raybench.errors import ClusterError
from raybench.launch.batch.resources import NodeResources
from raybench.slurm import allocation
from raybench.slurm.allocation import (
    gpus_on_node,
    hostnames,
    node_address,
    resources_of_node,
    scontrol,
)

WRITTEN_OUT = {"p100-[1-2]": ["p100-1", "p100-2"], "k80-1,v100-3": ["k80-1", "v100-3"]}


def on(node: str, text: str) -> dict[str, int]:
    return gpus_on_node(text, node, WRITTEN_OUT.__getitem__)


@pytest.mark.parametrize(
    ("recording", "node", "expected"),
    [
        ("job-details", "k80-1", {"k80": 1}),
        ("job-details", "p100-2", {"p100": 1}),
        ("job-details", "p100-3", {}),
        ("het-job-details", "p100-1", {"p100": 1}),
        ("het-job-details", "k80-1", {"k80": 1}),
    ],
)
def test_gpus_of_a_job(recording: str, node: str, expected: dict[str, int]) -> None:
    assert on(node, (RECORDED / f"{recording}.txt").read_text()) == expected


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("plain-1", {}),
        ("v100-3", {"v100": 2}),
        ("untyped-1", {"": 3}),
        ("both-1", {"k80": 1, "p100": 2}),
        ("odd-1", {"k80": 3}),
    ],
)
def test_gpus_of_other_kinds_of_nodes(node: str, expected: dict[str, int]) -> None:
    text = """
     Nodes=plain-1 CPU_IDs=0 Mem=0 GRES=
     Nodes=k80-1,v100-3 CPU_IDs=0 Mem=0 GRES=gpu:v100:2(IDX:0-1)
     Nodes=untyped-1 CPU_IDs=0 Mem=0 GRES=gpu:3(IDX:0-2)
     Nodes=both-1 CPU_IDs=0 Mem=0 GRES=gpu:k80:1(IDX:0),gpu:p100:2(IDX:1-2)
     Nodes=odd-1 CPU_IDs=0 Mem=0 GRES=gpu:k80:3(IDX:0,2-3),shard:4
   """
    assert on(node, text) == expected


def test_names_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "scontrol", recorded_scontrol)
    assert hostnames("k80-1,p100-[1-2]") == ["k80-1", "p100-1", "p100-2"]
    assert node_address("k80-1") == "10.77.0.13"
    unknown = "NodeName=moved-1 Arch=x86_64\n   State=FUTURE\n"
    monkeypatch.setattr(allocation, "scontrol", lambda *_: unknown)
    with pytest.raises(ClusterError, match="no address of moved-1"):
        node_address("moved-1")


def test_an_scontrol_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"scontrol show job 7 failed: .*No such file"):
        scontrol("show", "job", "7")
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ClusterError, match="failed: slurm_load_jobs error: Invalid job id"):
        scontrol("show", "job", "7")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"SLURM_CPUS_ON_NODE": "3", "SLURM_GPUS_ON_NODE": "1", "CUDA_VISIBLE_DEVICES": "0"},
            NodeResources(cpus=3, gpus=1, label="K80", verified=False),
        ),
        (
            {"SLURM_CPUS_ON_NODE": "4", "CUDA_VISIBLE_DEVICES": "1,3"},
            NodeResources(cpus=4, gpus=2, label="K80", verified=False),
        ),
        ({"SLURM_CPUS_ON_NODE": "4"}, NodeResources(cpus=4)),
        ({"CUDA_VISIBLE_DEVICES": ""}, NodeResources(cpus=16)),
    ],
)
def test_resources_are_what_slurm_gave(
    environ: dict[str, str], expected: NodeResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, "scontrol", recorded_scontrol)
    monkeypatch.setattr(allocation, "allowed_cpus", lambda: 16)
    here = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "k80-1"}
    assert resources_of_node({**here, **environ}) == expected


def test_a_driver_names_the_gpus_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "scontrol", recorded_scontrol)
    monkeypatch.setattr(allocation, "gpu_names", lambda: ["Tesla K80"])
    here = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "k80-1", "SLURM_GPUS_ON_NODE": "1"}
    assert resources_of_node(here).verified
