"""The arguments and variables of ``ray start``."""

from __future__ import annotations

import json
from pathlib import Path

from raybench.launch.batch.network import choose_ports
from raybench.launch.batch.ray_start import (
    ray_start_arguments,
    ray_variables,
    without_client_server,
)
from raybench.launch.batch.resources import NodeResources
from raybench.launch.ray_folder import RayFolder
from raybench.system.ray_gcs import JOB_LABEL, NODE_LABEL


def arguments(*, is_head: bool, dashboard: bool = True) -> list[str]:
    return ray_start_arguments(
        resources=NodeResources(cpus=6, gpus=2, label="P100"),
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


def test_ray_start_of_another_node() -> None:
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
    variables = ray_variables(RayFolder(Path("/tmp/rb3-x")))
    assert variables["RAY_START_HOOK"] == "raybench.launch.batch.ray_start.without_client_server"
