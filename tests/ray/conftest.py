"""One Ray for all tests of this folder: two nodes on this machine, of one and of two processors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raybench.schedule.resources import NODE

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a busy machine take its time: what hangs is noticed all the same."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(1800))


class Nodes:
    """A Ray cluster that this process is connected to, and whose second node may die."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster()
        self._add(1)
        self._second: Any = self._add(2)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def kill_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    def restore_second(self) -> None:
        self._second = self._second or self._add(2)

    def stop(self) -> None:
        self._cluster.shutdown()

    def _add(self, cpus: int) -> Any:
        return self._cluster.add_node(num_cpus=cpus, resources={NODE: 1}, include_dashboard=False)


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[Nodes]:
    """The nodes; the process of the tests is connected to them."""
    import ray

    nodes = Nodes()
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.stop()


@pytest.fixture
def on_ray(ray_nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """The nodes, which commands join too."""
    ray_nodes.restore_second()
    monkeypatch.setenv("RAY_ADDRESS", ray_nodes.address)
    return ray_nodes
