"""The batch scripts and what goes with them, for a folder of the user's.

In a checkout they lie in ``cluster/``; setup.py, which runs this file for ``FILES``, puts them into
a wheel as ``raybench/slurm/files/``. It therefore imports nothing of raybench with the module.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FILES = {
    "start_ray.sbatch": "cluster/start_ray.sbatch",
    "start_ray_mixed.sbatch": "cluster/start_ray_mixed.sbatch",
    "join_ray.sbatch": "cluster/join_ray.sbatch",
    "batch.sh": "cluster/batch.sh",
    "common.sh": "cluster/common.sh",
    "node.sh": "cluster/node.sh",
    "site.env.example": "cluster/site.env.example",
    "environments/create.sh": "cluster/environments/create.sh",
    "environments/current.txt": "cluster/environments/current.txt",
    "environments/pascal-hopper.txt": "cluster/environments/pascal-hopper.txt",
    "environments/kepler-pascal.txt": "cluster/environments/kepler-pascal.txt",
    "paper.yaml": "experiments/paper.yaml",
}
"""Each file by its place in the folder, with its place in a checkout."""

VERSION = "environments/raybench"
"""The file in the folder that says which raybench create.sh installs."""


def source(name: str) -> Path:
    """Return one of ``FILES`` as it lies in this installation."""
    installed = Path(__file__).parent / "files" / name
    return installed if installed.exists() else Path(__file__).parents[2] / FILES[name]


def write_batch_files(folder: Path, *, force: bool = False) -> list[Path]:
    """Write the files to a folder, with their modes.

    Args:
        folder: where to; it is made if need be.
        force: write over files that are there.

    Returns:
        what was written.

    Raises:
        ClusterError: there are such files already, and nothing was written.
    """
    from raybench import __version__
    from raybench.errors import ClusterError

    targets = {name: folder / name for name in (*FILES, VERSION)}
    there = [name for name, target in targets.items() if target.exists()]
    if there and not force:
        raise ClusterError(
            f"{folder} has {', '.join(there)} already; nothing was written",
            hint="name another folder, or give --force to write over them",
        )
    for name in FILES:
        targets[name].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source(name), targets[name])
    targets[VERSION].write_text(f"raybench=={__version__}\n")
    return list(targets.values())
