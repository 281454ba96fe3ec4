"""Ray's private folder: its modes, its length, and what is left of drivers that were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raybench.errors import ClusterError
from raybench.launch.ray_folder import LONGEST_RAY_DIR, RayFolder, local_folder

HOLDS = """
from raybench.launch.ray_folder import local_folder
with local_folder() as folder:
    (folder.temporary / "raybench-rescued-x").mkdir()
    print(folder.path, flush=True)
    input()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_only_its_owner_gets_in(temporary: Path) -> None:
    node = RayFolder(temporary / "rb7-012345")
    node.create()
    with local_folder() as local:
        for folder in (node, local):
            for path in (folder.path, folder.ray, folder.temporary):
                assert path.stat().st_mode & 0o777 == 0o700
    assert not local.path.exists()
    with pytest.raises(FileExistsError):
        node.create()


def test_it_leaves_room_for_the_paths_of_sockets() -> None:
    RayFolder(Path("/a/scratch/of/22-chars/rb1234-012345")).check()
    longest = RayFolder(Path("/" + "x" * (LONGEST_RAY_DIR - 3)))
    longest.check()
    socket = f"{longest.ray}/session_2026-11-23_14-33-35_760418_4194304/sockets/plasma_store.1"
    assert len(socket) <= 107
    with pytest.raises(ClusterError, match="too long"):
        RayFolder(Path(f"{longest.path}x")).check()


def test_the_folder_of_a_driver_that_was_killed_goes_with_the_next_start(temporary: Path) -> None:
    kept = [temporary / "raybench-ray-mine", temporary / "raybench-results"]
    for path in kept:
        path.mkdir()
    (temporary / "raybench-ray-link").symlink_to("raybench-results")
    driver = subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with driver:
        assert driver.stdout is not None
        left = Path(driver.stdout.readline().strip())
        with local_folder():
            assert left.is_dir()
        driver.kill()
    with local_folder():
        assert not left.exists()
    assert (temporary / "raybench-rescued-x").is_dir()
    assert all(path.is_dir() for path in kept)
