"""``ray start`` on one node: its arguments and variables.

As a program, ``python -m raybench.launch.batch.ray_start ARGUMENTS``, it is ``ray start`` that
first waits for the head.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from raybench.launch.batch.network import PORTS
from raybench.launch.batch.resources import NodeResources
from raybench.launch.ray_folder import RayFolder
from raybench.system.ray_gcs import GPU_LABEL, ray_nodes

OBJECT_STORE_BYTES = 256 * 2**20
"""Trials exchange a few kilobytes; Ray would otherwise claim 30 % of the node's memory."""


def ray_start_arguments(
    *,
    resources: NodeResources,
    ports: Mapping[str, int],
    own_address: str,
    head: str,
    is_head: bool,
    dashboard: bool,
    temp_dir: Path,
    labels: Mapping[str, str],
) -> list[str]:
    """Return the arguments of ``ray start`` for one node.

    Args:
        resources: what the node offers.
        ports: a free port for each of ``PORTS``.
        own_address: the node's IPv4 address.
        head: ``address:port`` of the cluster.
        is_head: whether this node is the head.
        dashboard: whether the head takes jobs; a grid does without, and starts sooner.
        temp_dir: where Ray keeps its files.
        labels: the Ray node's labels.
    """
    if resources.label is not None:
        labels = {**labels, GPU_LABEL: resources.label}
    arguments = ["start", "--block", "--disable-usage-stats", "--log-color=false"]
    arguments += ["--log-style=pretty", f"--node-ip-address={own_address}"]
    arguments += [f"--temp-dir={temp_dir}"]
    arguments += [f"--num-cpus={resources.cpus}", f"--num-gpus={resources.gpus}"]
    arguments += [f"--object-store-memory={OBJECT_STORE_BYTES}"]
    arguments += [f"--resources={json.dumps(resources.custom)}"]
    arguments += ["--labels=" + ",".join(f"{key}={value}" for key, value in labels.items())]
    arguments += ["--min-worker-port=0", "--max-worker-port=0"]
    arguments += [f"--{name}-port={ports[name]}" for name in PORTS[2:]]
    if not is_head:
        return [*arguments, f"--address={head}"]
    arguments += ["--head", f"--port={head.rpartition(':')[2]}"]
    # There is nothing to scale; --no-monitor leaves out a process and its port.
    arguments += [f"--include-dashboard={dashboard}", "--no-monitor"]
    return [*arguments, "--dashboard-host=127.0.0.1", f"--dashboard-port={ports['dashboard']}"]


def ray_variables(folder: RayFolder) -> dict[str, str]:
    """Return the variables for Ray on one node, where no argument of ``ray start`` would do."""
    return {
        "RAY_TMPDIR": str(folder.ray),
        "TMPDIR": str(folder.temporary),
        # Served to anybody, without a token, and of no use here. The dashboard's own have no switch
        # but a port that there cannot be; its log has the complaint.
        "RAY_enable_metrics_collection": "0",
        "DASHBOARD_METRIC_PORT": "-1",
        # Who ends Ray here has given trials their time already.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        # How long Ray waits for its own first process; its 30 s are too few on a busy machine.
        "RAY_gcs_server_port_wait_time_s": "120",
        "RAY_START_HOOK": f"{__name__}.{without_client_server.__name__}",
        # Schedulers number GPUs by their place on the bus; CUDA would put the fastest first.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


class RayParams(Protocol):
    """What ``ray start`` is about to start, as far as it is changed here."""

    ray_client_server_port: int | None


def without_client_server(ray_params: RayParams, head: bool) -> None:  # noqa: ARG001 - Ray's signature
    """Keep ``ray start`` from opening the Ray Client server, which would listen to the network.

    Ray calls it by the variable ``RAY_START_HOOK``; no option of ``ray start`` can turn it off.
    """
    ray_params.ray_client_server_port = None


def main(arguments: Sequence[str]) -> None:
    """Be ``ray start``, which first waits for the head, with Ray imported in the meantime."""
    from ray.scripts.scripts import main as ray  # noqa: PLC0415 - takes a second

    for argument in arguments:
        if argument.startswith("--address="):
            while not ray_nodes(argument.partition("=")[2]):
                time.sleep(0.1)
    sys.argv = ["ray", *arguments]
    ray()


if __name__ == "__main__":
    main(sys.argv[1:])
