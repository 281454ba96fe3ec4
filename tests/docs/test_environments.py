"""The pinned environments hold what pyproject.toml asks for."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from markdown_pages import ROOT
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ENVIRONMENTS = sorted((ROOT / "cluster" / "environments").glob("*.txt"))


def pinned(path: Path) -> dict[str, str]:
    """Return the version of each package by its name."""
    lines = re.findall(r"^([\w.-]+)==(\S+)", path.read_text("utf-8"), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in lines}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_holds_what_the_package_needs(path: Path) -> None:
    found = pinned(path)
    for needed in map(Requirement, PROJECT["dependencies"]):
        version = found[needed.name.lower()]
        # A local version, such as torch's +cu126, is one of the version before the plus.
        assert needed.specifier.contains(version.partition("+")[0]), needed


def test_the_tests_tools_are_pinned() -> None:
    tools = {**pinned(ROOT / ".ci" / "tools.txt"), **pinned(ENVIRONMENTS[0])}
    wanted = {Requirement(text).name.lower() for text in PROJECT["optional-dependencies"]["dev"]}
    assert wanted - set(tools) == set()


def test_nodes_of_one_cluster_have_the_same_ray_and_python_libraries_that_it_shares() -> None:
    versions = {(pinned(path)["ray"], pinned(path)["cloudpickle"]) for path in ENVIRONMENTS}
    assert len(versions) == 1
