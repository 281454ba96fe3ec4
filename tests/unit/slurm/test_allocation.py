from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.errors import ClusterError, HardwareError
from raybench.slurm import allocation
from raybench.slurm.allocation import (
    Offer,
    check_torch,
    expand_hosts,
    gres_on_host,
    host_offer,
    label_of_gres,
)
from raybench.slurm.network import PORTS, address_of_host, choose_ports, is_free, outward_address
from raybench.slurm.ray_start import ray_start_arguments, ray_variables, without_client_server
from raybench.slurm.workdir import (
    LONGEST_TEMP_DIR,
    ClusterState,
    check_temp_dir,
    create_private_folder,
    create_token,
    state_root,
    token_variables,
)
from raybench.system.kernels import GpuCheck, environment_for
from raybench.system.ray_gcs import (
    JOB_LABEL,
    NODE_LABEL,
    RayNode,
    gpus_by_label,
    joined_nodes,
    ray_nodes,
)

DETAILS = """JobId=7 JobName=raybench
   JobState=RUNNING Reason=None Dependency=(null)
   NodeList=k80-1,p100-[1-2]
   JOB_GRES=gpu:k80:1,gpu:p100:4
     Nodes=k80-1 CPU_IDs=0-2 Mem=0 GRES=gpu:k80:1(IDX:0)
     Nodes=p100-[1-2] CPU_IDs=0-5 Mem=0 GRES=gpu:p100:2(IDX:0-1)
     Nodes=plain-1 CPU_IDs=0 Mem=0 GRES=
     Nodes=untyped-1 CPU_IDs=0 Mem=0 GRES=gpu:3(IDX:0-2)
     Nodes=both-1 CPU_IDs=0 Mem=0 GRES=gpu:k80:1(IDX:0),gpu:p100:2(IDX:1-2)
   Command=/home/me/raybench/cluster/start_ray.sbatch
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("k80-1", {"k80": 1}),
        ("p100-2", {"p100": 2}),
        ("plain-1", {}),
        ("untyped-1", {"": 3}),
        ("both-1", {"k80": 1, "p100": 2}),
        ("absent-1", {}),
    ],
)
def test_gres_on_host(host: str, expected: dict[str, int]) -> None:
    assert gres_on_host(DETAILS, host) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a", ["a"]),
        ("a1,b2", ["a1", "b2"]),
        ("n[08-10]", ["n08", "n09", "n10"]),
        ("n[1,3-4]-ib,m5", ["n1-ib", "n3-ib", "n4-ib", "m5"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ],
)
def test_expand_hosts(names: str, expected: list[str]) -> None:
    assert expand_hosts(names) == expected


@given(st.sets(st.integers(0, 9999), min_size=1), st.sampled_from(["gpu", "node-", "r7n"]))
def test_expand_hosts_finds_each(numbers: set[int], prefix: str) -> None:
    short = f"{prefix}[{','.join(f'{number:04d}' for number in sorted(numbers))}]"
    assert expand_hosts(short) == [f"{prefix}{number:04d}" for number in sorted(numbers)]


@pytest.mark.parametrize(
    ("gres_type", "label"),
    [
        ("p100", "P100"),
        ("P100", "P100"),
        ("tesla_p100-pcie-16gb", "P100"),
        ("k80", "K80"),
        ("a100_80g", "A100"),
        ("rtx2080ti", "RTX2080Ti"),
        ("gpu", None),
        ("", None),
        ("p1000", None),
    ],
)
def test_label_of_gres(gres_type: str, label: str | None) -> None:
    assert label_of_gres(gres_type) == label


def test_offer_of_gpus_that_say_what_they_are() -> None:
    environ = {"SLURM_CPUS_ON_NODE": "8", "SLURM_GPUS_ON_NODE": "2", "CUDA_VISIBLE_DEVICES": "2,3"}
    offer = host_offer(environ, {"gpu": 2}, ["Tesla P100-PCIE-16GB"] * 2)
    assert offer == Offer(cpus=8, gpus=2, label="P100", verified=True)
    assert offer.resources == {"P100": 2, "raybench_node": 1}


def test_offer_without_a_driver_is_unverified() -> None:
    environ = {"SLURM_CPUS_ON_NODE": "3", "SLURM_GPUS_ON_NODE": "1", "CUDA_VISIBLE_DEVICES": "0"}
    assert host_offer(environ, {"k80": 1}, []) == Offer(cpus=3, gpus=1, label="K80", verified=False)


@pytest.mark.parametrize("names", [[], ["Tesla P100-PCIE-16GB"]])
def test_offer_holds_no_gpu_that_slurm_did_not_give(names: list[str]) -> None:
    offer = host_offer({"SLURM_CPUS_ON_NODE": "4"}, {}, names)
    assert offer == Offer(cpus=4)
    assert offer.resources == {"raybench_node": 1}


def test_offer_counts_visible_devices_where_slurm_gives_no_number() -> None:
    environ = {"SLURM_CPUS_ON_NODE": "4", "CUDA_VISIBLE_DEVICES": "1,3"}
    assert host_offer(environ, {"k80": 2}, []).gpus == 2


@pytest.mark.parametrize(
    ("gres", "names", "message"),
    [
        ({"gpu": 1}, ["Voodoo 3"], "Voodoo 3"),
        ({"": 1}, None, "no GRES type"),
        ({}, None, "Slurm names none"),
        ({"k80": 1}, ["Tesla K80", "Tesla P100-PCIE-16GB"], "K80 and P100"),
        ({"k80": 1, "p100": 1}, None, "K80 and P100"),
    ],
)
def test_offer_refuses_what_it_cannot_label(
    gres: dict[str, int], names: list[str] | None, message: str
) -> None:
    with pytest.raises(HardwareError, match=message):
        host_offer({"SLURM_GPUS_ON_NODE": "1"}, gres, names)


@pytest.mark.parametrize(
    ("capability", "environment"),
    [
        ((3, 7), "kepler-pascal"),
        ((6, 0), "kepler-pascal"),
        ((7, 5), "current"),
        ((9, 0), "current"),
    ],
)
def test_environment_for(capability: tuple[int, int], environment: str) -> None:
    assert environment_for(capability) == environment
    folder = Path(__file__).parents[3] / "cluster" / "environments"
    assert (folder / f"{environment}.txt").exists()


@given(st.integers(1, 10**7))
def test_ports_are_the_jobs_own(job: int) -> None:
    ports = choose_ports(job, free=lambda port: True)
    assert list(ports) == list(PORTS)
    assert len(set(ports.values())) == len(ports)
    assert all(10000 <= port < 26000 for port in ports.values())
    following = choose_ports(job + 1, free=lambda port: True)
    assert not set(ports.values()) & set(following.values())


def test_ports_that_are_taken_are_left_alone() -> None:
    first = choose_ports(5, free=lambda port: True)
    ports = choose_ports(5, free=lambda port: port != first["dashboard"])
    assert first["dashboard"] not in ports.values()
    with pytest.raises(ClusterError, match="free ports"):
        choose_ports(5, free=lambda port: False)


def test_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_address_of_host() -> None:
    assert address_of_host("10.1.2.3") == "10.1.2.3"
    assert outward_address("127.0.0.1") == "127.0.0.1"


def test_token_is_for_its_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o000)
    try:
        folder = create_private_folder(tmp_path / "state" / "job-1")
        token = create_token(folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64
    variables = token_variables(token)
    assert variables == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


def test_each_token_is_fresh(tmp_path: Path) -> None:
    first = create_token(tmp_path).read_text()
    assert create_token(tmp_path).read_text() != first


def test_private_folder_is_not_anothers(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    with pytest.raises(ClusterError, match="not ours"):
        create_private_folder(tmp_path / "ours")
    (tmp_path / "open").mkdir(mode=0o777)
    assert create_private_folder(tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_temp_dir_leaves_room_for_sockets() -> None:
    check_temp_dir(Path("/tmp/rb12345678-0123abcd"))
    longest = Path("/" + "x" * (LONGEST_TEMP_DIR - 1))
    check_temp_dir(longest)
    socket_path = f"{longest}/session_2026-11-23_14-33-35_760418_4194304/sockets/plasma_store.1"
    assert len(socket_path) <= 107
    with pytest.raises(ClusterError, match="too long"):
        check_temp_dir(Path(f"{longest}x"))


def arguments(*, is_head: bool, dashboard: bool = True) -> list[str]:
    return ray_start_arguments(
        offer=Offer(cpus=6, gpus=2, label="P100"),
        ports=choose_ports(3, free=lambda port: True),
        own_address="10.0.0.2",
        head="10.0.0.1:10048",
        is_head=is_head,
        dashboard=dashboard,
        temp_dir=Path("/tmp/rb3-x"),
        labels={JOB_LABEL: "3", NODE_LABEL: "p100-1"},
    )


def test_ray_start_of_the_head() -> None:
    head = arguments(is_head=True)
    assert {"--head", "--port=10048", "--dashboard-host=127.0.0.1", "--block"} <= set(head)
    assert "--include-dashboard=True" in head
    assert "--include-dashboard=False" in arguments(is_head=True, dashboard=False)
    resources = next(a for a in head if a.startswith("--resources=")).partition("=")[2]
    assert json.loads(resources) == {"P100": 2, "raybench_node": 1}
    labels = next(a for a in head if a.startswith("--labels="))
    assert labels == "--labels=raybench.job=3,raybench.node=p100-1,raybench.gpu=P100"


def test_ray_start_of_another_host() -> None:
    other = arguments(is_head=False)
    assert "--address=10.0.0.1:10048" in other
    assert not [a for a in other if a.startswith(("--head", "--port", "--dashboard-host"))]
    assert {"--num-cpus=6", "--num-gpus=2", "--node-ip-address=10.0.0.2"} <= set(other)


def test_no_client_server() -> None:
    class Params:
        ray_client_server_port: int | None = 10001

    params = Params()
    without_client_server(params, head=True)
    assert params.ray_client_server_port is None
    variables = ray_variables(Path("/tmp/rb3-x"))
    assert variables["RAY_START_HOOK"] == "raybench.slurm.ray_start.without_client_server"


def test_nodes_of_a_job_and_gpus_of_a_cluster() -> None:
    nodes = [
        RayNode(node_id="a", labels={JOB_LABEL: "1", NODE_LABEL: "x"}, resources={"P100": 4.0}),
        RayNode(node_id="b", labels={JOB_LABEL: "1", NODE_LABEL: "y"}, resources={"P100": 2.0}),
        RayNode(node_id="c", labels={JOB_LABEL: "2", NODE_LABEL: "z"}, resources={"K80": 8.0}),
        RayNode(node_id="d", labels={}, resources={"CPU": 1.0}),
    ]
    assert joined_nodes(nodes, "1") == {"x", "y"}
    assert gpus_by_label(nodes) == {"P100": 6, "K80": 8}


def test_no_nodes_where_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ray_nodes(f"127.0.0.1:{port}") == []


def test_state_of_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no Ray cluster"):
        ClusterState.read(tmp_path)
    state = ClusterState(
        job="3", address="10.0.0.1:1", dashboard="http://127.0.0.1:2", head="a", results="/r"
    )
    state.write(tmp_path)
    assert ClusterState.read(tmp_path) == state
    (tmp_path / "cluster.json").write_text('{"job": "3"')
    with pytest.raises(ClusterError, match="no Ray cluster"):
        ClusterState.read(tmp_path)


def test_state_root() -> None:
    assert state_root({"RAYBENCH_STATE_ROOT": "/x"}) == Path("/x")
    assert state_root({}) == Path.home() / ".raybench"


def p100(problem: str | None) -> GpuCheck:
    return GpuCheck(
        name="Tesla P100-PCIE-16GB", compute_capability=(6, 0), listed=False, problem=problem
    )


def test_torch_without_kernels_is_named_with_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = "CUDA error: no kernel image is available for execution on the device"
    monkeypatch.setattr(allocation, "check_gpus", lambda: [p100(None), p100(error)])
    problem = check_torch()
    assert problem is not None
    assert "Tesla P100-PCIE-16GB (sm_60): CUDA error: no kernel image" in problem
    assert "create.sh kepler-pascal" in problem


def test_torch_with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "check_gpus", lambda: [p100(None)])
    assert check_torch() is None


def test_torch_that_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "check_gpus", list)
    assert "sees no GPU" in str(check_torch())
