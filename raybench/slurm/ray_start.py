"""The arguments and variables of `ray start`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raybench.slurm.allocation import Offer
from raybench.slurm.network import PORTS
from raybench.system.ray_gcs import GPU_LABEL

OBJECT_STORE_BYTES = 256 * 2**20
"""Trials exchange a few kilobytes; Ray would otherwise claim 30 % of the host's memory."""


def ray_start_arguments(
    *,
    offer: Offer,
    ports: Mapping[str, int],
    own_address: str,
    head: str,
    is_head: bool,
    dashboard: bool,
    temp_dir: Path,
    labels: Mapping[str, str],
) -> list[str]:
    """Return the arguments of ``ray start`` for one host.

    Args:
        offer: what the host offers.
        ports: a free port for each of ``PORTS``.
        own_address: the host's IPv4 address.
        head: ``address:port`` of the cluster.
        is_head: whether this host is the head.
        dashboard: whether the head takes jobs; a grid does without, and starts sooner.
        temp_dir: the host's private folder.
        labels: the Ray node's labels.
    """
    if offer.label is not None:
        labels = {**labels, GPU_LABEL: offer.label}
    arguments = ["start", "--block", "--disable-usage-stats", "--log-color=false"]
    arguments += ["--log-style=pretty", f"--node-ip-address={own_address}"]
    arguments += [f"--temp-dir={temp_dir}", f"--num-cpus={offer.cpus}", f"--num-gpus={offer.gpus}"]
    arguments += [f"--object-store-memory={OBJECT_STORE_BYTES}"]
    arguments += [f"--resources={json.dumps(offer.resources)}"]
    arguments += ["--labels=" + ",".join(f"{key}={value}" for key, value in labels.items())]
    arguments += ["--min-worker-port=0", "--max-worker-port=0"]
    for name in PORTS[2:]:
        arguments.append(f"--{name}-port={ports[name]}")
    if is_head:
        arguments += [
            "--head",
            f"--port={head.rpartition(':')[2]}",
            f"--include-dashboard={dashboard}",
        ]
        # There is nothing to scale; this leaves out a process and its port.
        arguments.append("--no-monitor")
        arguments += ["--dashboard-host=127.0.0.1", f"--dashboard-port={ports['dashboard']}"]
    else:
        arguments.append(f"--address={head}")
    return arguments


def ray_variables(temp_dir: Path) -> dict[str, str]:
    """Return the variables for Ray on one host, where no argument of ``ray start`` would do."""
    return {
        "RAY_TMPDIR": str(temp_dir),
        "TMPDIR": str(temp_dir),
        # Served to anybody, without a token, and of no use here. The dashboard's own have no switch
        # but a port that there cannot be; its log has the complaint.
        "RAY_enable_metrics_collection": "0",
        "DASHBOARD_METRIC_PORT": "-1",
        # Who ends Ray here has given trials their time already.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_START_HOOK": f"{__name__}.{without_client_server.__name__}",
        # Slurm numbers GPUs by their place on the bus; CUDA would put the fastest first.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def without_client_server(ray_params: Any, head: bool) -> None:  # noqa: ARG001 - Ray's signature
    """Keep ``ray start`` from opening the Ray Client server, which would listen to the network.

    Ray calls it by the variable ``RAY_START_HOOK``; no option of ``ray start`` can turn it off.
    """
    ray_params.ray_client_server_port = None
