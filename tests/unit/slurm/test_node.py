"""What srun runs on each node, with recorded scontrol output and no GPU's driver."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from slurm_jobs import PORTS, recorded_scontrol, step_environment

from raybench.errors import ClusterError, HardwareError
from raybench.launch.batch.node import NodeRun
from raybench.launch.batch.resources import NodeResources
from raybench.slurm import allocation, node
from raybench.slurm.node import main, node_run

K80 = NodeResources(cpus=3, gpus=1, label="K80", verified=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process a task on k80-1."""
    given = {
        "SLURM_JOB_ID": "7",
        "SLURMD_NODENAME": "k80-1",
        "SLURM_CPUS_ON_NODE": "3",
        "SLURM_GPUS_ON_NODE": "1",
        **step_environment(tmp_path).variables(),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for module in (allocation, node):
        monkeypatch.setattr(module, "scontrol", recorded_scontrol)
    return tmp_path


def test_resources_are_printed_for_the_script(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resources"]) == 0
    assert NodeResources(**json.loads(capsys.readouterr().out)) == K80


def test_a_gpu_that_only_slurm_names_is_marked(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[NodeRun] = []
    monkeypatch.setattr(NodeRun, "stay", lambda run: begun.append(run) or None)
    monkeypatch.setattr(node, "allow_open_files", lambda: None)
    assert main(["start", json.dumps(asdict(K80))]) == 0
    (run,) = begun
    assert run.variables["RAYBENCH_UNVERIFIED_HARDWARE"] == "1"
    assert "RAYBENCH_HEAD" not in run.variables
    said = capsys.readouterr().out
    assert "k80-1: 3 CPUs, 1 × K80" in said
    assert "marked unverified" in said


def test_a_torch_that_cannot_use_the_gpu_keeps_the_node_out(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise HardwareError("no kernels for sm_37", hint="create.sh kepler-pascal")

    monkeypatch.setattr(node, "check_torch", refuse)
    verified = NodeResources(cpus=3, gpus=1, label="K80")
    assert main(["start", json.dumps(asdict(verified))]) == 2
    assert "raybench: no kernels for sm_37\nhint:    create.sh" in capsys.readouterr().err
    assert step_environment(here).failed("k80-1").exists()


def test_the_head_has_the_ports_that_the_batch_script_chose(here: Path) -> None:
    run = node_run(K80, "k80-1", step_environment(here), {})
    arguments = list(run.arguments())
    assert {"--head", f"--port={PORTS['gcs']}", "--node-ip-address=10.77.0.13"} <= set(arguments)
    assert run.temp_dir == Path("/tmp/rb7-0123abcd")
    assert run.logs == here / "slurm-7" / "ray" / "k80-1"
    assert run.joined == step_environment(here).joined("k80-1")


def test_another_node_chooses_its_ports_anew_at_each_start(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter((PORTS, {name: port + 100 for name, port in PORTS.items()}))
    monkeypatch.setattr(node, "choose_ports", lambda job: next(taken))
    monkeypatch.setattr(node, "outward_address", lambda address: f"toward {address}")
    run = node_run(K80, "p100-1", step_environment(here), {})
    first, second = list(run.arguments()), list(run.arguments())
    assert "--address=10.77.0.13:10112" in first
    assert "--node-ip-address=toward 10.77.0.13" in first
    assert "--node-manager-port=10114" in first
    assert "--node-manager-port=10214" in second


def test_no_node_of_a_joining_job_is_the_head(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "outward_address", lambda address: "10.77.0.13")
    step = step_environment(here, head_node="", head_ports={})
    assert "--head" not in node_run(K80, "k80-1", step, {}).arguments()


def test_a_long_temporary_folder_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBENCH_TMPDIR", "/a/very/long/path/to/scratch/space")
    with pytest.raises(ClusterError, match="too long a path"):
        node_run(K80, "k80-1", step_environment(here), {})


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["offer"]) == 2
    assert "allowed: resources, or start JSON" in capsys.readouterr().err
