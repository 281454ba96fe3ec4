"""Ports and addresses of a node."""

from __future__ import annotations

import socket
from collections.abc import Callable

from raybench.errors import ClusterError

PORTS = (
    "gcs",
    "dashboard",
    "node-manager",
    "object-manager",
    "dashboard-agent-listen",
    "dashboard-agent-grpc",
    "runtime-env-agent",
    "metrics-export",
)
"""Ray's services on a node that get a port each; workers take any port that is free."""

FIRST_PORT, PORT_BLOCKS, BLOCK_SIZE = 10000, 1000, 16
"""Ports 10000 to 25999: below the range that Linux hands out to clients by itself."""


def is_free(port: int) -> bool:
    """Whether nothing on this node listens on a TCP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def choose_ports(job_id: int, free: Callable[[int], bool] = is_free) -> dict[str, int]:
    """Return a port for each of ``PORTS``: the job's own block, or the next that is all free.

    Raises:
        ClusterError: no block is free.
    """
    for attempt in range(PORT_BLOCKS):
        # Neighbouring jobs have neighbouring blocks, so the next try goes far away.
        block = (job_id + attempt * 137) % PORT_BLOCKS
        first = FIRST_PORT + block * BLOCK_SIZE
        ports = dict(zip(PORTS, range(first, first + len(PORTS)), strict=True))
        if all(free(port) for port in ports.values()):
            return ports
    raise ClusterError(
        f"no {len(PORTS)} free ports in a row from {FIRST_PORT} on this node",
        hint="see `ss -tln` for what listens there",
    )


def outward_address(toward: str, port: int = 9) -> str:
    """Return the IPv4 address from which this node reaches ``toward``; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((toward, port))
        return str(probe.getsockname()[0])


def address_of_node(name: str) -> str:
    """Return the IPv4 address under which the other nodes reach this one.

    Args:
        name: this node's name or address, as the scheduler gives it.

    Raises:
        ClusterError: it has none but the loopback's.
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
    except socket.gaierror:
        found = set()
    found = {address for address in found if not address.startswith("127.")}
    if found:
        return min(found)
    try:
        # An address of the documentation range: only the routing table is asked.
        return outward_address("192.0.2.1")
    except OSError:
        raise ClusterError(
            f"the address of {name} is not known to itself",
            hint="set RAYBENCH_HEAD_ADDRESS in site.env",
        ) from None
