"""Packages that add datasets and models to raybench, installed without pip into a folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

GARDEN = Path(__file__).parents[1] / "plugin"
"""A package with the dataset ``flowers`` and the model ``tinynet``."""


def install_garden(folder: Path) -> Path:
    """Install the package of ``GARDEN`` into a folder, to be put on the path; return it."""
    project = (GARDEN / "pyproject.toml").read_text()
    groups = re.findall(r'\[project\.entry-points\."(.+)"\]\n((?:.+ = ".+"\n)+)', project)
    points = {group: dict(re.findall(r'(.+) = "(.+)"\n', lines)) for group, lines in groups}
    (version,) = re.findall(r'^version = "(.+)"', project, re.MULTILINE)
    shutil.copytree(GARDEN / "garden", folder / "garden")
    return install(folder, "garden", points, version=version)


def install(
    folder: Path,
    name: str,
    points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
) -> Path:
    """Lay a distribution's metadata and modules into a folder, as pip does; return the folder.

    Args:
        folder: it is made if it is not there.
        name: of the distribution.
        points: what each entry point names, by group and name.
        modules: source text of modules by their names.
        version: of the distribution.
    """
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{point} = {value}\n" for point, value in named.items())
            for group, named in points.items()
        )
    )
    for module, text in (modules or {}).items():
        (folder / f"{module}.py").write_text(text)
    return folder


def plant(root: Path, seed: int = 0) -> Path:
    """Write the images of ``flowers`` below the data folder ``root``; return their folder."""
    random = np.random.default_rng(seed)
    folder = root / "flowers"
    (folder / "garden").mkdir(parents=True, exist_ok=True)
    for file, count in (("train.npz", 24), ("garden/evaluation.npz", 8)):
        labels = np.arange(count) % 2
        bright = labels[:, None, None, None] * 128
        images = random.integers(0, 128, (count, 8, 8, 3)) + bright
        np.savez(folder / file, images=images.astype(np.uint8), labels=labels)
    return folder
