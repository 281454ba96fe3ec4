"""Grids on Slurm: complete, failed, cut short, and with hosts that do not come."""

import json
import re
import socket
import ssl

import pytest
from virtual_slurm import REPOSITORY, Slurm, call, records

ALL = ["k80-1", "p100-1", "p100-2"]


def test_two_gpu_types_in_one_allocation(slurm: Slurm) -> None:
    job = slurm.submit("start_ray.sbatch", "tiny.yaml", options=["--nodes=3", "--gpus-per-node=1"])
    job.assert_ends_as("COMPLETED")

    results = job.folder / "results"
    found = records(results)
    assert len(found) == 2
    for record in found:
        assert record["status"] == "completed"
        assert record["segments"][0]["environment"]["hostname"].startswith(
            record["spec"]["hardware"].lower()
        )
        assert record["segments"][0]["hardware"]["verified"] is False
        assert record["segments"][0]["environment"]["slurm"]["job_id"] == job.number
    tables = (results / "tiny" / "tables.txt").read_text()
    assert "ResNet-18" in tables
    assert "simulated" in tables
    assert "tables.txt" in job.log
    assert re.search(r"3 nodes joined \d+\.\d s after the batch script began", job.log)
    logs = results / "tiny" / f"slurm-{job.number}"
    assert (logs / "driver.log").read_text()
    for host in ALL:
        assert "stopped" in (logs / "nodes" / f"{host}.log").read_text()
        assert list((logs / "ray" / host).glob("raylet*"))
    slurm.assert_nothing_left(job, ALL)


def test_heterogeneous_job(slurm: Slurm) -> None:
    job = slurm.submit("start_ray_mixed.sbatch", "tiny.yaml", "-s", "name=mixed")
    job.assert_ends_as("COMPLETED")
    hosts = {
        record["spec"]["hardware"]: record["segments"][0]["environment"]["hostname"]
        for record in records(job.folder / "results")
    }
    assert hosts["K80"] == "k80-1"
    assert hosts["P100"].startswith("p100-")
    slurm.assert_nothing_left(job, ALL)


def test_tls(slurm: Slurm) -> None:
    """Certificates made as docs/slurm.md says; Ray's head then proves who it is by them."""
    page = (REPOSITORY / "docs" / "slurm.md").read_text()
    recipe = re.search(r"```bash\n(mkdir -m 700 ~/.raybench-tls .*?)```", page, re.DOTALL)
    assert recipe is not None
    addresses = ",".join(f"IP:10.77.0.{number}" for number in (11, 12, 13))
    commands = recipe[1].replace("IP:10.1.2.3,IP:10.1.2.4", addresses)
    call(["bash", "-e", "-c", commands], slurm.environ)
    folder = slurm.shared / "home" / ".raybench-tls"
    job = slurm.submit(
        "start_ray.sbatch",
        *("tiny.yaml", "-s", "name=tls"),
        options=["--nodes=2", "--nodelist=k80-1,p100-1", "--gpus-per-node=1"],
        RAY_USE_TLS="1",
        RAY_TLS_SERVER_CERT=f"{folder}/server.crt",
        RAY_TLS_SERVER_KEY=f"{folder}/server.key",
        RAY_TLS_CA_CERT=f"{folder}/ca.crt",
    )
    head = re.search(r"Ray at (\S+):(\d+) has", job.wait_for_log(" has 2 nodes"))
    assert head is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "ca.crt")
    with (
        socket.create_connection((head[1], int(head[2])), timeout=30) as connection,
        context.wrap_socket(connection, server_hostname=head[1]) as encrypted,
    ):
        job.say(f"{head[1]} speaks {encrypted.version()}")
    job.assert_ends_as("COMPLETED")
    assert len(records(job.folder / "results")) == 2
    slurm.assert_nothing_left(job, ALL)


def test_failed_trial(slurm: Slurm) -> None:
    job = slurm.submit(
        "start_ray.sbatch",
        "tiny.yaml",
        *("-s", "hardware=K80", "-s", "learning_rate=[0.01, 1.0e+30]"),
        options=["--gpus-per-node=k80:1"],
    )
    job.assert_ends_as("FAILED")
    found = records(job.folder / "results")
    assert sorted(record["status"] for record in found) == ["completed", "failed"]
    assert "ResNet-18" in (job.folder / "results" / "tiny" / "tables.txt").read_text()
    slurm.assert_nothing_left(job, ALL)


def test_host_that_never_starts(slurm: Slurm) -> None:
    hanging = slurm.shared / "hanging.sh"
    hanging.write_text("echo 'mounting the file system of the P100s'; sleep 1000\n")
    job = slurm.submit(
        "start_ray.sbatch",
        "tiny.yaml",
        options=["--nodes=2", "--nodelist=k80-1,p100-1", "--gpus-per-node=1"],
        RAYBENCH_ENVIRONMENT_P100=str(hanging),
        RAYBENCH_START_TIMEOUT_S="20",
    )
    job.assert_ends_as("FAILED", 90)
    assert "raybench: p100-1 did not join within 20 s" in job.log
    assert "mounting the file system of the P100s" in job.log
    assert records(job.folder / "results") == []
    slurm.assert_nothing_left(job, ALL)


def test_host_that_cannot_start(slurm: Slurm) -> None:
    job = slurm.submit(
        "start_ray.sbatch",
        "tiny.yaml",
        options=["--nodes=2", "--nodelist=k80-1,p100-1", "--gpus-per-node=1"],
        RAYBENCH_ENVIRONMENT_K80="/nowhere",
    )
    job.assert_ends_as("FAILED", 60)
    assert "raybench: k80-1 did not start Ray" in job.log
    assert "no environment at /nowhere" in job.log
    slurm.assert_nothing_left(job, ALL)


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("batchsize=3", "did you mean 'batch_size'?"),
        ("dataset=kmnist", "raybench data fetch kmnist"),
    ],
)
def test_what_cannot_work_starts_nothing(slurm: Slurm, setting: str, hint: str) -> None:
    job = slurm.submit("start_ray.sbatch", "tiny.yaml", "-s", setting)
    job.assert_ends_as("FAILED", 60)
    assert hint in job.log
    assert not (job.folder / "results").exists()


def test_time_limit(slurm: Slurm) -> None:
    job = slurm.submit(
        "start_ray.sbatch",
        *("tiny.yaml", "-s", "repeats=50", "-s", "hardware=K80"),
        options=["--gpus-per-node=k80:1"],
    )
    folder = job.folder / "results" / "tiny"
    job.wait_for("the first record", lambda: list(folder.glob("records/*.json")), 180)
    job.cancel("--signal=USR1", "--batch")  # as Slurm does by itself, two minutes before
    job.assert_ends_as("FAILED", 120)
    statuses = {record["status"] for record in records(job.folder / "results")}
    assert "completed" in statuses
    assert statuses <= {"completed", "interrupted"}
    assert "ResNet-18" in (folder / "tables.txt").read_text()
    slurm.assert_nothing_left(job, ALL)


def test_host_that_dies_in_the_middle(slurm: Slurm) -> None:
    """All that the other hosts can run is measured, and the job does not wait for the dead one."""
    job = slurm.submit(
        "start_ray.sbatch",
        *("tiny.yaml", "-s", "repeats=2", "-s", "epochs=40"),
        options=["--nodes=2", "--nodelist=k80-1,p100-1", "--gpus-per-node=1"],
        RAYBENCH_NODE_TIMEOUT_S="3",
    )
    job.wait_for_log("P100: training on p100-1")
    with slurm.powered_off("p100-1"):
        job.assert_ends_as("FAILED")
    found = {
        (r["spec"]["hardware"], r["spec"]["repeat"]): r for r in records(job.folder / "results")
    }
    assert {key: record["status"] for key, record in found.items()} == {
        ("K80", 0): "completed",
        ("K80", 1): "completed",
        ("P100", 0): "failed",
    }
    lost = found["P100", 0]["error"]
    assert lost["kind"] == "host_lost"
    assert "p100-1 was lost while the trial was in training" in lost["message"]
    assert "no node that can run what is left: 1 trial needs" in job.log
    assert "The same command measures the rest" in job.log
    assert "ResNet-18" in (job.folder / "results" / "tiny" / "tables.txt").read_text()
    slurm.assert_nothing_left(job, ALL)


def test_cancel(slurm: Slurm) -> None:
    job = slurm.submit(
        "start_ray.sbatch",
        "tiny.yaml",
        *("-s", "repeats=50"),
        options=["--nodes=2", "--nodelist=k80-1,p100-1", "--gpus-per-node=1"],
    )
    folder = job.folder / "results" / "tiny" / "records"
    job.wait_for("the first record", lambda: list(folder.glob("*.json")), 180)
    job.cancel()
    job.assert_ends_as("CANCELLED", 60)
    slurm.assert_nothing_left(job, ALL)
    statuses = [json.loads(path.read_text())["status"] for path in folder.glob("*.json")]
    assert "completed" in statuses
    assert len(statuses) < 100
