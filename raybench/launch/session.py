"""A Ray cluster to work on: one that is there already, or one of our own on this machine.

Ray is imported when a session starts, not with this module: it reads its settings then.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from raybench.catalog.hardware import label_of
from raybench.errors import ClusterError
from raybench.schedule.resources import NODE
from raybench.system.cpus import allowed_cpus
from raybench.system.verify import gpu_names


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a Ray cluster, or start one on this machine and end it afterwards.

    A cluster of our own listens on the loopback with a token of its own, and keeps its files in
    a private folder, so that nobody else on the machine can use or block it.

    Raises:
        ClusterError: nothing answers at the address, or Ray cannot start here.
    """
    with ExitStack() as stack:
        options = {"address": address} if address else _own_cluster(stack)
        import ray  # noqa: PLC0415

        stack.callback(ray.shutdown)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:
            where = f"no Ray cluster answers at {address}" if address else "Ray cannot start here"
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ClusterError(
                f"{where}: {reason}",
                hint="check RAY_ADDRESS and the token" if address else "run `raybench doctor`",
            ) from error
        yield


def _own_cluster(stack: ExitStack) -> dict[str, object]:
    """Return the options of a cluster on this machine alone; its folder goes with the stack."""
    if "ray" not in sys.modules:
        # Ray reads these once, when it is imported.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    # Ray's processes may still write while they end.
    folder = tempfile.TemporaryDirectory(prefix="raybench-", ignore_cleanup_errors=True)
    return {
        "address": "local",
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": stack.enter_context(folder),
        "include_dashboard": False,
        "num_cpus": allowed_cpus(),
        "resources": local_resources(),
    }


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


def cluster_hosts() -> list[dict[str, float]]:
    """Return the resources in all of each living host of the connected cluster."""
    import ray  # noqa: PLC0415

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
