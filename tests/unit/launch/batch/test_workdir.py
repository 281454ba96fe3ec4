"""Private folders, tokens, and what a running cluster leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raybench.errors import ClusterError
from raybench.launch.batch.workdir import (
    RunningCluster,
    create_private_folder,
    create_token,
    job_folder,
    private_folder,
    token_variables,
)


def test_token_is_for_its_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o000)
    try:
        folder = create_private_folder(tmp_path / "state" / "job-1")
        token = create_token(folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64
    variables = token_variables(token)
    assert variables == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


def test_each_token_is_fresh(tmp_path: Path) -> None:
    first = create_token(tmp_path).read_text()
    assert create_token(tmp_path).read_text() != first


def test_private_folder_is_not_anothers(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    with pytest.raises(ClusterError, match="not ours"):
        create_private_folder(tmp_path / "ours")
    (tmp_path / "open").mkdir(mode=0o777)
    assert create_private_folder(tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_state_of_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no Ray cluster"):
        RunningCluster.read(tmp_path)
    state = RunningCluster(
        job="3", address="10.0.0.1:1", dashboard="http://127.0.0.1:2", head="a", results="/r"
    )
    state.write(tmp_path)
    assert RunningCluster.read(tmp_path) == state
    (tmp_path / "cluster.json").write_text('{"job": "3"')
    with pytest.raises(ClusterError, match="no Ray cluster"):
        RunningCluster.read(tmp_path)


def test_a_job_has_its_folder_as_long_as_it_runs(tmp_path: Path) -> None:
    root = tmp_path / "state"
    with private_folder(job_folder(root, "7")) as folder:
        assert folder == root / "job-7"
        (folder / "token").touch()
    assert list(root.iterdir()) == []
    assert root.stat().st_mode & 0o777 == 0o700
