"""A Ray cluster's nodes, by Ray's private API."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raybench.catalog.hardware import GPUS
from raybench.errors import ClusterError

JOB_LABEL, NODE_LABEL, GPU_LABEL = "raybench.job", "raybench.node", "raybench.gpu"
"""Labels of a Ray node: the batch job that started it, its name in the scheduler, its GPU type."""


HEAD_GONE_S = 5.0
"""How long a head takes no connections before it counts as dead; none ever comes back."""


@dataclass(frozen=True, kw_only=True)
class RayNode:
    """A node that is alive in a Ray cluster.

    Attributes:
        node_id: Ray's hexadecimal name of it.
        labels: its labels.
        resources: what it offers in all.
    """

    node_id: str
    labels: Mapping[str, str]
    resources: Mapping[str, float]


def _client(address: str) -> Any:
    from ray._raylet import GcsClient  # type: ignore[attr-defined] # noqa: PLC0415 - takes a second

    return GcsClient(address=address)


def node_is_leaving() -> bool:
    """Return whether the node of this Ray worker takes on no more work, because it will leave."""
    import ray  # noqa: PLC0415

    here = ray.get_runtime_context()
    return here.get_node_id() in _client(here.gcs_address).get_draining_nodes()


def listens(address: str, timeout_s: float) -> bool:
    """Return whether something takes connections at ``host:port``, however busy it is."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except OSError:
        return False
    return True


class HeadWatch:
    """Notices that a cluster's head has died, before Ray's own libraries end the process for it.

    Args:
        address: the head's, ``host:port``.

    Attributes:
        answers: whether it did when last looked at.
        has_died: whether it did not for ``HEAD_GONE_S``.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._silent_since_s: float | None = None
        self.answers, self.has_died = True, False

    def look(self, now_s: float) -> str | None:
        """Look at it, and say that it has died if it has."""
        self.answers = listens(self._address, 1)
        if self.answers:
            self._silent_since_s = None
        elif self._silent_since_s is None:
            self._silent_since_s = now_s
        silent_s = now_s - (self._silent_since_s or now_s)
        self.has_died = self.has_died or silent_s >= HEAD_GONE_S
        return f"Ray's head at {self._address} has died" if self.has_died else None


def ray_nodes(address: str, timeout_s: float = 5) -> list[RayNode]:
    """Return the nodes that are alive, or [] while nothing answers at ``address``.

    This asks the head without becoming a driver, as Ray's own ``symmetric-run`` does: a driver
    would start worker processes, on nodes that are still busy with starting Ray.

    Raises:
        ClusterError: the cluster refuses our token.
    """
    if not listens(address, timeout_s):
        return []
    from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined] # noqa: PLC0415
    from ray.exceptions import AuthenticationError, RpcError  # noqa: PLC0415

    try:
        found = _client(address).get_all_node_info(timeout=timeout_s)
    except RpcError:
        return []
    except AuthenticationError:
        raise ClusterError(
            f"the Ray cluster at {address} does not let us in: the token is missing or another's",
            hint="set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH as the log of its job shows",
        ) from None
    return [
        RayNode(
            node_id=node_id.hex(),
            labels=dict(node.labels),
            resources=dict(node.resources_total),
        )
        for node_id, node in found.items()
        if node.state == GcsNodeInfo.GcsNodeState.ALIVE
    ]


def drain(address: str, node: RayNode, limit_s: float) -> None:
    """Let a node take on nothing more; it leaves the cluster when it is idle.

    Raises:
        ClusterError: the head refuses.
    """
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined] # noqa: PLC0415

    accepted, refusal = _client(address).drain_node(
        node.node_id,
        DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
        "the job of this node ends",
        int((time.time() + limit_s) * 1000),
    )
    if not accepted:
        raise ClusterError(f"the head does not let {node.labels.get(NODE_LABEL)} go: {refusal}")


def joined_nodes(nodes: Iterable[RayNode], job: str) -> set[str]:
    """Return the names of a batch job's nodes that are in the cluster."""
    return {node.labels[NODE_LABEL] for node in nodes if node.labels.get(JOB_LABEL) == job}


def gpus_by_label(nodes: Iterable[RayNode]) -> dict[str, int]:
    """Return how many GPUs of each type the cluster has."""
    counts: dict[str, int] = {}
    for node in nodes:
        for label in node.resources.keys() & GPUS.keys():
            counts[label] = counts.get(label, 0) + int(node.resources[label])
    return counts
