"""The nodes of a Ray cluster."""

from __future__ import annotations

import socket

from raybench.system.ray_gcs import (
    HEAD_GONE_S,
    JOB_LABEL,
    NODE_LABEL,
    HeadWatch,
    RayNode,
    gpus_by_label,
    joined_nodes,
    ray_nodes,
)


def test_nodes_of_a_job_and_gpus_of_a_cluster() -> None:
    nodes = [
        RayNode(node_id="a", labels={JOB_LABEL: "1", NODE_LABEL: "x"}, resources={"P100": 4.0}),
        RayNode(node_id="b", labels={JOB_LABEL: "1", NODE_LABEL: "y"}, resources={"P100": 2.0}),
        RayNode(node_id="c", labels={JOB_LABEL: "2", NODE_LABEL: "z"}, resources={"K80": 8.0}),
        RayNode(node_id="d", labels={}, resources={"CPU": 1.0}),
    ]
    assert joined_nodes(nodes, "1") == {"x", "y"}
    assert gpus_by_label(nodes) == {"P100": 6, "K80": 8}


def test_no_nodes_where_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert ray_nodes(f"127.0.0.1:{port}") == []


def test_a_head_is_dead_when_it_takes_no_connections_for_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        watch = HeadWatch(f"127.0.0.1:{server.getsockname()[1]}")
        assert watch.look(0.0) is None
        assert watch.answers
    assert watch.look(10.0) is None
    assert not watch.answers
    assert watch.look(10.0 + HEAD_GONE_S / 2) is None
    assert not watch.has_died
    said = watch.look(10.0 + HEAD_GONE_S)
    assert watch.has_died
    assert said is not None
    assert "has died" in said
