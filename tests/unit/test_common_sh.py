"""What the batch scripts source, and what they refuse to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

COMMON = Path(__file__).parents[2] / "cluster" / "common.sh"


def source(site: Path) -> subprocess.CompletedProcess[str]:
    """Do what a batch script does first."""
    script = f'source {COMMON} && activate || exit; echo "$FROM_SITE $FROM_ENVIRONMENT"'
    environ = {"PATH": os.environ["PATH"], "RAYBENCH_HOME": "/", "RAYBENCH_SITE": str(site)}
    return subprocess.run(
        ["bash", "-c", script], env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site.env that names the folder of an environment."""
    activate = tmp_path / "env" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("FROM_ENVIRONMENT=too\n")
    site = tmp_path / "site.env"
    site.write_text(f"FROM_SITE=read\nRAYBENCH_ENVIRONMENT={tmp_path / 'env'}\n")
    for path in (site, activate):
        path.chmod(0o644)
    return site


def test_what_is_ours_is_sourced(site: Path) -> None:
    assert source(site).stdout == "read too\n"
    site.unlink()
    done = source(site)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["site.env", "env/bin/activate"])
@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_what_others_may_write_is_not_sourced(site: Path, name: str, mode: int) -> None:
    path = site.with_name("site.env").parent / name
    path.chmod(mode)
    done = source(site)
    assert done.returncode == 2
    assert f"{path} is not sourced: others may write it" in done.stderr
    assert f"chmod go-w {path}" in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(os.getuid() != 0, reason="gives a file away")
def test_what_is_anothers_is_not_sourced(site: Path) -> None:
    os.chown(site, 65534, -1)
    done = source(site)
    assert done.returncode == 2
    assert "site.env is not sourced" in done.stderr
