"""A Ray cluster to work on: one that is there already, or one of our own on this machine.

Ray is imported when a session starts, not with this module: it reads its settings then.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from raybench.catalog.hardware import label_of
from raybench.errors import ClusterError
from raybench.schedule.resources import NODE
from raybench.system.cpus import allowed_cpus
from raybench.system.ray_logs import log_end
from raybench.system.verify import gpu_names

START_ATTEMPTS = 2
"""How often Ray may try to start on this machine: a busy one may not answer it in time."""

_GCS_WAIT_S = "120"
"""How long Ray waits for its own first process; its 30 s are too few on a busy machine."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a Ray cluster, or start one on this machine and end it afterwards.

    A cluster of our own listens on the loopback with a token of its own, and keeps its files in
    a private folder, so that nobody else on the machine can use or block it. A cluster that this
    process is connected to already is used as it is, unless another is asked for.

    Args:
        address: of the cluster, ``host:port``; None for one of our own.

    Raises:
        ClusterError: nothing answers at the address, or Ray cannot start here.
    """
    with ExitStack() as stack:
        if not is_connected(address):
            _join(address, stack) if address else _start(stack)
        yield


def is_connected(address: str | None = None) -> bool:
    """Whether this process is connected to a Ray cluster: to the one at ``address``, or to any."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return False
    return address is None or bool(address == ray.get_runtime_context().gcs_address)


def _join(address: str, stack: ExitStack) -> None:
    import ray  # noqa: PLC0415

    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        raise ClusterError(
            f"this process is connected to the Ray cluster {here}, not to {address}",
            hint="call ray.shutdown() first",
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {_first_line(error)}",
            hint="check RAY_ADDRESS and the token",
        ) from error
    stack.callback(ray.shutdown)


def _start(stack: ExitStack) -> None:
    """Start a cluster on this machine alone; it and its folder go with the stack."""
    if "ray" not in sys.modules:
        # Ray reads these once, when it is imported.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", _GCS_WAIT_S)
    import ray  # noqa: PLC0415

    for left in reversed(range(START_ATTEMPTS)):
        # Ray's processes may still write while they end.
        folder = tempfile.TemporaryDirectory(prefix="raybench-", ignore_cleanup_errors=True)
        try:
            ray.init(
                address="local",
                _node_ip_address="127.0.0.1",
                _temp_dir=folder.name,
                include_dashboard=False,
                num_cpus=allowed_cpus(),
                resources=local_resources(),
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:
            what = f"Ray cannot start here: {_first_line(error)}"
            message = "\n".join(filter(None, [what, log_end(Path(folder.name), 5)]))
            ray.shutdown()
            folder.cleanup()
            if not left:
                raise ClusterError(message, hint="run `raybench doctor`") from error
        else:
            stack.enter_context(folder)
            stack.callback(ray.shutdown)
            return


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def local_resources() -> dict[str, float]:
    """Return the custom resources that this machine offers: its GPU types, and itself."""
    resources: dict[str, float] = {NODE: 1.0}
    for name in gpu_names():
        label = label_of(name)
        if label:
            resources[label] = resources.get(label, 0.0) + 1.0
    return resources


def machine_resources() -> dict[str, float]:
    """Return all that a Ray cluster of our own would have."""
    return {"CPU": float(allowed_cpus()), "GPU": float(len(gpu_names())), **local_resources()}


def cluster_nodes() -> list[Mapping[str, float]]:
    """Return the resources in all of each living node of the connected cluster."""
    import ray  # noqa: PLC0415

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def nodes_at(address: str | None) -> list[Mapping[str, float]]:
    """Return the resources of each node of a cluster, or of this machine without an address.

    Raises:
        ClusterError: nothing answers at the address.
    """
    if not address:
        return [machine_resources()]
    with connected(address):
        return cluster_nodes()
