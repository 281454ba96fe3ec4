"""Ports and addresses of a node."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.errors import ClusterError
from raybench.launch.batch.network import (
    PORTS,
    address_of_node,
    choose_ports,
    is_free,
    outward_address,
)


@given(st.integers(1, 10**7))
def test_ports_are_the_jobs_own(job: int) -> None:
    ports = choose_ports(job, free=lambda port: True)
    assert list(ports) == list(PORTS)
    assert len(set(ports.values())) == len(ports)
    assert all(10000 <= port < 26000 for port in ports.values())
    following = choose_ports(job + 1, free=lambda port: True)
    assert not set(ports.values()) & set(following.values())


def test_ports_that_are_taken_are_left_alone() -> None:
    first = choose_ports(5, free=lambda port: True)
    ports = choose_ports(5, free=lambda port: port != first["dashboard"])
    assert first["dashboard"] not in ports.values()
    with pytest.raises(ClusterError, match="free ports"):
        choose_ports(5, free=lambda port: False)


def test_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_address_of_node() -> None:
    assert address_of_node("10.1.2.3") == "10.1.2.3"
    assert outward_address("127.0.0.1") == "127.0.0.1"
