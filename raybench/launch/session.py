"""A Ray cluster to work on: one that is there already, or one of our own on this machine.

Ray is imported when a session starts, not with this module: it reads its settings then.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from raybench.catalog.hardware import label_of
from raybench.errors import ClusterError
from raybench.launch.ray_folder import RayFolder, local_folder
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
    # Read when Ray is imported: it would connect by itself, to whatever cluster it finds, when
    # something asks it for more after the end.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    with ExitStack() as stack:
        if not is_connected(address):
            try:
                _join(address, stack) if address else _start(stack)
            except SystemExit:  # what Ray answers to SIGTERM
                raise KeyboardInterrupt from None
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
        with ExitStack() as started:
            folder = started.enter_context(local_folder())
            started.callback(ray.shutdown)
            try:
                with _on_the_loopback(ray), _temporary_folder(folder.temporary):
                    _init(ray, folder)
            except Exception as error:
                what = f"Ray cannot start here: {_first_line(error)}"
                message = "\n".join(filter(None, [what, log_end(folder.ray, 5)]))
                if not left:
                    raise ClusterError(message, hint="run `raybench doctor`") from error
            else:
                stack.push(started.pop_all())
                return


def _init(ray: Any, folder: RayFolder) -> None:
    ray.init(
        address="local",
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder.ray),
        include_dashboard=False,
        num_cpus=allowed_cpus(),
        resources=local_resources(),
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


@contextmanager
def _on_the_loopback(ray: Any) -> Iterator[None]:
    """Let Ray listen on 127.0.0.1 where it is told so.

    On Linux it would put the machine's outward address in its place, and each of its services
    would then listen on all interfaces; no option or variable keeps it from that.
    """
    services = ray._private.services
    outward = services.resolve_ip_for_localhost
    services.resolve_ip_for_localhost = lambda host: host
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = outward


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[None]:
    """Give the processes that are started meanwhile a TMPDIR."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


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
