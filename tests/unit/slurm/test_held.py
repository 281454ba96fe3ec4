"""What the log says of the cluster, and how to use one that is held."""

from __future__ import annotations

from pathlib import Path

import pytest

from raybench.launch.batch.workdir import RunningCluster
from raybench.slurm.held import describe, how_to_submit
from raybench.system.ray_gcs import RayNode

P100 = RayNode(node_id="a", labels={}, resources={"CPU": 8.0, "P100": 4.0})
K80 = RayNode(node_id="b", labels={}, resources={"CPU": 8.0, "K80": 8.0})
PLAIN = RayNode(node_id="c", labels={}, resources={"CPU": 8.0})
RUNNING = RunningCluster(
    job="7",
    address="10.0.0.1:10112",
    dashboard="http://127.0.0.1:10113",
    head="p100-1",
    results="/results",
)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([P100, P100, K80], "3 nodes, 8 × P100, 8 × K80"),
        ([PLAIN], "1 node"),
    ],
)
def test_describe(nodes: list[RayNode], text: str) -> None:
    assert describe(nodes) == text


def shown(nodes: list[RayNode], components: int = 1) -> str:
    return how_to_submit(RUNNING, Path("/state"), nodes, components, Path("/home/me/cluster"))


def test_the_lines_for_a_login_node() -> None:
    text = shown([P100])
    assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/state/token\n" in text
    assert "export RAY_API_SERVER_ADDRESS=http://127.0.0.1:10113\n" in text
    assert "ssh -N -f -L 10113:127.0.0.1:10113 p100-1\n" in text
    assert "raybench submit resnet18 mnist --hardware P100 -s epochs=1\n" in text
    assert "--entrypoint-num-gpus=1 \\\n    --entrypoint-resources='{\"P100\": 1}' -- \\\n" in text
    assert "sbatch /home/me/cluster/join_ray.sbatch 7\n" in text


def test_a_cluster_without_gpus_and_one_of_several_components() -> None:
    text = shown([PLAIN])
    assert "--hardware cpu:1" in text
    assert "entrypoint-resources" not in text
    assert "--het-group" not in text
    assert "srun --jobid=7 --het-group=0 --overlap" in shown([P100], components=2)
