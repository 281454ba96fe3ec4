"""A Ray of our own on this machine, one for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raybench.launch.session import connected


@pytest.fixture(scope="session")
def local_ray() -> Iterator[str]:
    """A connected Ray cluster on this machine; its address."""
    with connected(None):
        import ray

        yield ray.get_runtime_context().gcs_address
