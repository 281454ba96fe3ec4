"""What the environment sets: every ``RAYBENCH_*`` variable, and the folders that follow from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raybench.errors import SpecError

PREFIX = "RAYBENCH_"


class Settings(BaseModel):
    """The variables that a user, a site or a batch script sets, as they are now.

    ``Settings().data`` is the value of ``RAYBENCH_DATA``; an empty variable counts as unset. What
    the processes of a Slurm job tell one another by further variables stays in ``raybench.slurm``.

    A plain model, not one of pydantic-settings: that loads asyncio, ssl and dotenv, and would add
    0.06 s to a command line's start.

    Raises:
        SpecError: a variable has a wrong value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    results: Path = Path("results")
    """folder that experiments lie in"""
    data: Path | None = None
    """folder of the datasets; without it, the user's data folder (~/.local/share/raybench)"""
    cache: Path | None = None
    """folder of decoded datasets; without it, the user's cache folder (~/.cache/raybench)"""
    hardware: Path | None = None
    """a site's own GPU types: a file with rows as in raybench/catalog/hardware.csv"""
    debug: bool = False
    """1: show where an error arose, as --debug does"""
    simulated_gpu: bool = False
    """1: rehearse trials of any GPU on a processor; their records say so and are never pooled"""
    unverified_hardware: bool = False
    """1: take a GPU that no label fits for what Slurm calls it; its records say so"""
    node_timeout_s: float = Field(default=300, ge=1)
    """seconds that a grid waits for a node when none can run any trial that is left"""
    start_timeout_s: float = Field(default=120, gt=0)
    """seconds that a Slurm job waits for its nodes to join the Ray cluster"""
    head_address: str | None = None
    """address of a Slurm job's first node that the others reach; without it, it is found"""
    state_root: Path | None = None
    """folder on a shared file system for running clusters' tokens; without it, ~/.raybench"""
    tmpdir: Path = Path("/tmp")
    """folder on each node's own disk for Ray's session, with a short path"""

    def __init__(self, **given: Any) -> None:
        fields = type(self).model_fields
        found = {n: value for n in fields if (value := os.environ.get(PREFIX + n.upper()))}
        try:
            super().__init__(**{**found, **given})
        except ValidationError as error:
            first = error.errors()[0]
            name = f"{PREFIX}{str(first['loc'][0]).upper()}"
            raise SpecError(f"{name} is {first['input']!r}: {first['msg']}") from None


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The folders of results, datasets and decoded datasets.

    Attributes:
        results: folder that experiments lie in.
        data: folder of the datasets.
        cache: folder of decoded datasets.
    """

    results: Path
    data: Path
    cache: Path

    def absolute(self) -> Workspace:
        """Return the same folders, whatever a process that it is sent to works in."""
        return Workspace(
            results=self.results.absolute(),
            data=self.data.absolute(),
            cache=self.cache.absolute(),
        )


def workspace(results: Path | None = None, data: Path | None = None) -> Workspace:
    """Return the folders: those given, or those that the variables name, or the default ones.

    Raises:
        SpecError: a variable has a wrong value.
    """
    import platformdirs  # noqa: PLC0415 - specs are checked without it

    settings = Settings()
    return Workspace(
        results=results or settings.results,
        data=data or settings.data or platformdirs.user_data_path("raybench"),
        cache=settings.cache or platformdirs.user_cache_path("raybench"),
    )
