"""A virtual Slurm cluster for all tests of this folder, which are marked ``slurm``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from virtual_slurm import HOSTS, SCRIPT, Slurm, absent, call


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Print past pytest's capture."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def print_now(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {text}", end="", flush=True)

    return print_now


@pytest.fixture(scope="session")
def slurm(say: Callable[[str], None]) -> Iterator[Slurm]:
    if reason := absent():
        if os.environ.get("RAYBENCH_REQUIRE_SLURM") == "1":
            pytest.fail(f"no virtual Slurm cluster: {reason}")
        pytest.skip(f"no virtual Slurm cluster: {reason}")
    shared = Path(tempfile.mkdtemp(prefix="raybench-slurm-", dir="/var/tmp"))
    home = shared / "home"
    home.mkdir()
    # Left by something else; Ray would turn its authentication on, with this token.
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("a-token-that-something-else-left")
    cluster = Slurm(shared=shared, say=say)
    call(["bash", str(SCRIPT), "down"], cluster.keeper)
    hosts = [f"{gpu}:2:{len(names)}" for gpu, names in HOSTS.items()]
    began = time.monotonic()
    # The hosts outlive the script, and hold its output open.
    with (shared / "up.log").open("w") as log:
        up = ["bash", str(SCRIPT), "up", *hosts]
        subprocess.run(up, env=cluster.keeper, check=True, stdout=log, stderr=log, timeout=60)
    say(f"a Slurm of {', '.join(hosts)}, up in {time.monotonic() - began:.1f} s")
    try:
        yield cluster
    finally:
        call(["bash", str(SCRIPT), "down"], cluster.keeper)
        shutil.rmtree(shared)


@pytest.fixture(autouse=True)
def no_job_left(slurm: Slurm, request: pytest.FixtureRequest) -> Iterator[None]:
    """Cancel what a test leaves running, unless a fixture of its module wants to keep it."""
    yield
    kept = getattr(request.module, "KEPT", [])
    for job in slurm.jobs:
        if job not in kept and job.state() in ("PENDING", "RUNNING"):
            job.cancel()
            job.wait_for_end()
