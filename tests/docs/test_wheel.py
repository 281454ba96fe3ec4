"""What is installed without a checkout: a wheel with all that the commands need, and no tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import ROOT

SOURCES = (
    *("raybench", "cluster", "experiments"),
    *("pyproject.toml", "setup.py", "README.md", "LICENSE"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel of this checkout, in a copy of it, and install it to a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"
    for source in SOURCES:
        if (ROOT / source).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "current", "kepler-pascal")
            shutil.copytree(ROOT / source, copy / source, ignore=ignore)
        else:
            shutil.copy(ROOT / source, copy / source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", folder, copy], check=True)
    (built,) = folder.glob("*.whl")
    installed = folder / "installed"
    subprocess.run([*pip, "install", *options, "--target", installed, built], check=True)
    return installed


def test_it_holds_what_commands_read_and_no_tests(wheel: Path) -> None:
    found = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    for needed in (
        *("raybench/py.typed", "raybench/cli/demo.yaml", "raybench/catalog/hardware.csv"),
        *("raybench/analysis/references/li2022.csv", "raybench/slurm/files/start_ray.sbatch"),
        "raybench/slurm/files/environments/kepler-pascal.txt",
    ):
        assert needed in found
    # What the package reads lies in it: all but Python is in the wheel.
    data = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "raybench").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert data - found == set()
    assert any(name.endswith("licenses/LICENSE") for name in found)
    assert not [name for name in found if "test" in name or name.startswith("benchmarks")]


def test_its_commands_work_outside_a_checkout(wheel: Path, tmp_path: Path) -> None:
    def raybench(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(wheel)}
        command = [sys.executable, "-m", "raybench", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert "raybench" in raybench("--help")
    assert "start_ray.sbatch" in raybench("cluster", "init", "cluster")
    assert (tmp_path / "cluster" / "node.sh").is_file()
    assert os.access(tmp_path / "cluster" / "environments" / "create.sh", os.X_OK)
    assert "Speedup over K80" in raybench("analyze", "--reference", "li2022")
