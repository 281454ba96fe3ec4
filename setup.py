"""Puts the batch scripts, which lie outside the package, into the wheel; see pyproject.toml."""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = runpy.run_path("raybench/slurm/batch_files.py")["FILES"]


class BuildWithBatchFiles(build_py):
    """``build_py``, and a copy of the batch scripts beside the module that hands them out."""

    def run(self) -> None:
        """Copy the package, and the batch scripts unless the checkout itself is installed."""
        super().run()
        if self.editable_mode:
            return
        for name, source in FILES.items():
            target = Path(self.build_lib, "raybench", "slurm", "files", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)

    def get_source_files(self) -> list[str]:
        """Name what a source distribution holds."""
        return [*super().get_source_files(), *FILES.values()]


setup(cmdclass={"build_py": BuildWithBatchFiles})
