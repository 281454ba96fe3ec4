"""A cluster that is held: single runs, who may come in, who may join, and neighbours."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import pytest
from virtual_slurm import Job, Slurm, call, records

KEPT: list[Job] = []
SMALL = [
    argument
    for setting in ("epochs=1", "image_size=32", "num_workers=0", "train_limit=20", "eval_limit=10")
    for argument in ("-s", setting)
]


@dataclass(kw_only=True)
class Held:
    """A cluster that is held, with a tunnel to it from the login node."""

    job: Job
    slurm: Slurm
    login: dict[str, str]

    @property
    def token(self) -> str:
        return Path(self.login["RAY_AUTH_TOKEN_PATH"]).read_text()

    @property
    def dashboard(self) -> str:
        return self.login["RAY_API_SERVER_ADDRESS"]

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the login node."""
        return subprocess.run(
            command,
            env={**self.login, **variables},
            check=False,
            capture_output=True,
            text=True,
            timeout=150,
        )

    def jobs(self) -> list[str]:
        """The entrypoints of all jobs that were ever submitted."""
        request = urllib.request.Request(self.dashboard + "/api/jobs/")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as response:
            return [job["entrypoint"] for job in json.load(response)]

    def status(self, path: str, token: str | None, data: bytes | None = None) -> int:
        """Return the HTTP status of a request to the dashboard."""
        request = urllib.request.Request(self.dashboard + path, data=data)
        request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


def commands_of(job: Job) -> tuple[dict[str, str], int, str]:
    """Follow the log to the letter: its exports, its tunnel's port and its host."""
    text = job.wait_for_log("More nodes join by")
    exports = dict(re.findall(r"(RAY_[A-Z_]+)=(\S+)", text))
    tunnel = re.search(r"ssh -N -f -L (\d+):127\.0\.0\.1:\1 (\S+)", text)
    assert tunnel is not None
    return {**job.environ, **exports}, int(tunnel[1]), tunnel[2]


@pytest.fixture(scope="module")
def held(slurm: Slurm) -> Iterator[Held]:
    options = ["--nodelist=p100-1", "--gpus-per-node=1"]
    job = slurm.submit("start_ray.sbatch", "--hold", options=options)
    KEPT.append(job)
    login, port, host = commands_of(job)
    ends = []
    meeting = str(job.folder / "tunnel")
    script = Path(__file__).with_name("tunnel.py")
    virtual = ["bash", str(Path(__file__).with_name("virtual_slurm.sh")), "on", host]
    for before, side in ((virtual, "connect"), ([], "listen")):
        command = [*before, sys.executable, str(script), side, str(port), meeting]
        environ = {**login, "VIRTUAL_SLURM_STATE": str(Path(login["SLURM_CONF"]).parents[1])}
        ends.append(subprocess.Popen(command, env=environ, start_new_session=True))
    job.wait_for("the tunnel", lambda: is_open(port))
    yield Held(job=job, slurm=slurm, login=login)
    for end in ends:
        os.killpg(end.pid, signal.SIGTERM)
        end.wait()
    KEPT.clear()
    job.cancel()
    job.assert_ends_as("CANCELLED")
    slurm.assert_nothing_left(job, ["p100-1"])


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_submit(held: Held) -> None:
    done = held.run("raybench", "submit", "resnet18", "digits", "--hardware", "P100", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stdout
    (record,) = records(held.job.folder / "results")
    assert record["status"] == "completed"
    assert record["segments"][0]["environment"]["hostname"] == "p100-1"
    assert record["segments"][0]["hardware"]["verified"] is False


def test_submit_returns_the_exit_code_of_the_run(held: Held) -> None:
    diverging = [*SMALL, "-s", "learning_rate=1.0e+30", "-s", "seed=7"]
    done = held.run("raybench", "submit", "resnet18", "digits", "--hardware", "P100", *diverging)
    assert done.returncode == 1, done.stderr
    found = records(held.job.folder / "results")
    assert "failed" in [record["status"] for record in found]


def test_submit_refuses_hardware_that_the_cluster_lacks(held: Held) -> None:
    jobs_before = held.jobs()
    done = held.run("raybench", "submit", "resnet18", "digits", "--hardware", "V100", *SMALL)
    assert done.returncode == 2
    assert "V100 1" in done.stderr
    assert "P100 1" in done.stderr
    assert held.jobs() == jobs_before


def test_ray_job_submit(held: Held) -> None:
    shown = re.search(r"(ray job submit .*?)\n\n", held.job.log.replace("\\\n", ""), re.DOTALL)
    assert shown is not None
    command = shlex.split(shown[1])
    command[command.index("mnist")] = "digits"
    done = held.run(*command, *SMALL, "-s", "seed=8")
    assert done.returncode == 0, done.stdout + done.stderr
    seeds = [record["spec"]["seed"] for record in records(held.job.folder / "results")]
    assert 8 in seeds


@pytest.mark.parametrize(
    ("token", "status"),
    [(None, 401), ("0" * 64, 403), ("a-token-that-something-else-left", 403)],
)
def test_nobody_gets_in(held: Held, token: str | None, status: int) -> None:
    proof = held.slurm.shared / "proof"
    submission = f'{{"entrypoint": "touch {proof}"}}'.encode()
    assert held.status("/api/jobs/", token, submission) == status
    assert held.status("/api/jobs/", token) == status
    assert held.status("/nodes?view=summary", token) == status
    assert not proof.exists()
    assert "touch" not in str(held.jobs())


def test_the_owner_gets_in(held: Held) -> None:
    assert held.status("/api/jobs/", held.token) == 200


def test_ray_itself_wants_the_token(held: Held) -> None:
    gcs = re.search(r"Ray at (\S+) has", held.job.log)
    assert gcs is not None
    count = f"from raybench.system.ray_gcs import ray_nodes; print(len(ray_nodes('{gcs[1]}')))"
    assert held.run(sys.executable, "-c", count).stdout.strip() == "1"
    other = held.slurm.shared / "other-token"
    other.write_text("0" * 64)
    for variables in ({"RAY_AUTH_TOKEN_PATH": str(other)}, {"RAY_AUTH_MODE": "disabled"}):
        refused = held.run(sys.executable, "-c", count, **variables)
        assert "does not let us in" in refused.stderr


def test_the_token_is_nowhere(held: Held) -> None:
    path = Path(held.login["RAY_AUTH_TOKEN_PATH"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert held.token not in "\n".join(held.slurm.processes("p100-1"))
    assert files_with(held.token, held.job.folder) == []
    search = 'grep -rl --devices=skip --exclude-dir=sockets -f "$1" /tmp | grep -v auth_token'
    found = held.slurm.on("p100-1", "sh", "-c", f"{search} || true", "sh", str(path))
    assert [name for name in found.split() if not name.startswith(str(held.slurm.shared))] == []


def files_with(text: str, folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


def test_what_listens_to_the_network(held: Held) -> None:
    """The dashboard is on the loopback; of the ports below 32768 only the job's own are open.

    None of those shows anything to somebody without the token.
    """
    listening = held.slurm.on("p100-1", "ss", "-tlnH").splitlines()
    addresses = [line.split()[3].rpartition(":") for line in listening]
    port = held.dashboard.rpartition(":")[2]
    assert {host for host, _, number in addresses if number == port} == {"127.0.0.1"}
    slurmd, own = 6818, range(int(port) - 1, int(port) + 15)
    low = {int(number) for _, _, number in addresses if int(number) < 32768}
    assert low - {slurmd} <= set(own)
    gcs = re.search(r"Ray at (\S+):\d+ has", held.job.log)
    assert gcs is not None
    for number in low - {slurmd, int(port)}:
        with pytest.raises((OSError, HTTPException)):
            urllib.request.urlopen(f"http://{gcs[1]}:{number}/metrics", timeout=10)


def test_neighbour_on_the_same_host(held: Held, slurm: Slurm) -> None:
    options = ["--nodelist=p100-1", "--gpus-per-node=1"]
    neighbour = slurm.submit("start_ray.sbatch", "--hold", options=options)
    login, _, host = commands_of(neighbour)
    assert host == "p100-1"
    assert login["RAY_API_SERVER_ADDRESS"] != held.dashboard
    # Each cluster has one node and its own GPU, as Slurm gave it.
    devices = {
        variable
        for variable in slurm.on(
            "p100-1", "sh", "-c", "cat /proc/*/environ | tr '\\0' '\\n'"
        ).split()
        if variable.startswith("CUDA_VISIBLE_DEVICES=")
    }
    assert {"CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=1"} <= devices
    assert "has 1 node, 1 × P100" in neighbour.log
    neighbour.cancel()
    neighbour.assert_ends_as("CANCELLED")
    assert [line for line in slurm.processes("p100-1") if f"/rb{neighbour.number}-" in line] == []
    assert [
        name for name in slurm.temporary_files("p100-1") if f"rb{neighbour.number}-" in name
    ] == []
    assert held.status("/api/jobs/", held.token) == 200
    done = held.run("raybench", "submit", "resnet18", "digits", "--hardware=cpu:1", *SMALL)
    assert done.returncode == 0, done.stderr


def test_no_other_user_gets_to_what_ray_opens_to_all(held: Held, slurm: Slurm) -> None:
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    attack = f"""
        cd /tmp/rb{held.job.number}-*
        stat -c '%a %n' . t r/session_2*/logs
        {nobody} ls $PWD || echo refused
        {nobody} cat $PWD/r/session_latest/logs/raylet.out || echo refused
        {nobody} mv $PWD/t $PWD/moved || echo refused
    """
    said = slurm.on("p100-1", "sh", "-c", attack).splitlines()
    assert said[:2] == ["700 .", "700 t"]
    assert said[2].startswith("777 r/session_2")  # Ray's doing
    assert said.count("refused") == len(said) - 3 == 3


def test_hosts_join_and_leave(held: Held, slurm: Slurm) -> None:
    joiner = slurm.submit("join_ray.sbatch", held.job.number, options=["--gpus-per-node=k80:1"])
    joiner.wait_for_log("1 node joined")
    done = held.run("raybench", "submit", "resnet18", "digits", "--hardware", "K80", *SMALL)
    assert done.returncode == 0, done.stderr
    hosts = [
        r["segments"][0]["environment"]["hostname"] for r in records(held.job.folder / "results")
    ]
    assert "k80-1" in hosts

    joiner.cancel("--signal=USR1", "--batch")
    joiner.assert_ends_as("COMPLETED")
    assert "left the cluster" in joiner.log
    slurm.assert_nothing_left(joiner, ["k80-1"])
    assert held.status("/api/jobs/", held.token) == 200
    done = held.run("raybench", "submit", "resnet18", "digits", "--hardware", "K80", *SMALL)
    assert done.returncode == 2, done.stderr
    assert "K80 1" in done.stderr


def test_join_refuses_a_job_without_a_cluster(slurm: Slurm) -> None:
    joiner = slurm.submit("join_ray.sbatch", "999999", options=["--gpus-per-node=k80:1"])
    joiner.assert_ends_as("FAILED")
    assert "job-999999 runs no Ray cluster that this user can join" in joiner.log


def test_a_grid_waits_for_hosts_that_join(slurm: Slurm) -> None:
    arguments: Sequence[str] = ["tiny.yaml", "--wait-for", "K80"]
    job = slurm.submit("start_ray.sbatch", *arguments, options=["--nodelist=p100-2"])
    text = job.wait_for_log("waiting for a K80: sbatch")
    hint = re.search(r"waiting for a K80: sbatch (.*) \S*/join_ray.sbatch (\d+)", text)
    assert hint is not None
    joiner = slurm.submit("join_ray.sbatch", hint[2], options=hint[1].split())
    job.assert_ends_as("COMPLETED")
    joiner.assert_ends_as("COMPLETED")
    assert f"the cluster of job {job.number} has ended" in joiner.log
    hosts = {r["segments"][0]["environment"]["hostname"] for r in records(job.folder / "results")}
    assert hosts == {"p100-2", "k80-1"}
    slurm.assert_nothing_left(job, ["p100-2"])
    slurm.assert_nothing_left(joiner, ["k80-1"])
    assert "JobState" in call(["scontrol", "show", "job", joiner.number], joiner.environ)


def test_a_joined_host_leaves_while_a_trial_runs_on_it(slurm: Slurm) -> None:
    """The trial is finished, the next one of its kind waits for another host, the rest goes on."""
    settings = ("-s", "repeats=2", "-s", "epochs=30", "--wait-for", "K80")
    job = slurm.submit("start_ray.sbatch", "tiny.yaml", *settings, options=["--nodelist=p100-2"])
    job.wait_for_log("waiting for a K80")
    first = slurm.submit("join_ray.sbatch", job.number, options=["--gpus-per-node=k80:1"])
    job.wait_for_log("K80: training on k80-1")
    assert "K80: done" not in job.log
    first.cancel("--signal=USR1", "--batch")
    first.assert_ends_as("COMPLETED")
    assert "k80-1 takes on no more trials" in first.log
    assert "left the cluster" in first.log
    job.wait_for_log("K80: done")
    assert "K80 · repeat 1" not in job.log
    slurm.assert_nothing_left(first, ["k80-1"])

    second = slurm.submit("join_ray.sbatch", job.number, options=["--gpus-per-node=k80:1"])
    job.assert_ends_as("COMPLETED")
    second.assert_ends_as("COMPLETED")
    found = records(job.folder / "results")
    assert [record["status"] for record in found] == ["completed"] * 4
    k80 = [
        r["segments"][0]["environment"]["slurm"]["job_id"]
        for r in found
        if r["spec"]["hardware"] == "K80"
    ]
    assert sorted(k80) == [first.number, second.number]
