"""raybench: how fast does this model train on each GPU of a cluster, and why?

spec -> plan -> trial -> record -> analysis -> report

What ``__all__`` names is public; all other modules may move. Each name is imported on first use, so
that ``import raybench`` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raybench.api import compare, explain, load, run, tables
    from raybench.catalog.hardware import Hardware
    from raybench.errors import (
        ClusterError,
        DataError,
        HardwareError,
        NewerRecordError,
        RaybenchError,
        RecordError,
        ResultsError,
        SpecError,
        TrialFailed,
    )
    from raybench.launch.options import RunOptions
    from raybench.record.schema import TrialRecord
    from raybench.settings import Workspace
    from raybench.spec.grid import GridSpec
    from raybench.spec.trial import TrialSpec

__all__ = [
    "ClusterError",
    "DataError",
    "GridSpec",
    "Hardware",
    "HardwareError",
    "NewerRecordError",
    "RaybenchError",
    "RecordError",
    "ResultsError",
    "RunOptions",
    "SpecError",
    "TrialFailed",
    "TrialRecord",
    "TrialSpec",
    "Workspace",
    "compare",
    "explain",
    "load",
    "run",
    "tables",
]

_MODULES = {
    "raybench.api": ("compare", "explain", "load", "run", "tables"),
    "raybench.catalog.hardware": ("Hardware",),
    "raybench.launch.options": ("RunOptions",),
    "raybench.record.schema": ("TrialRecord",),
    "raybench.settings": ("Workspace",),
    "raybench.spec.grid": ("GridSpec",),
    "raybench.spec.trial": ("TrialSpec",),
}
_HOLDERS = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - takes longer than all else here

        value: Any = version("raybench")
    elif name in __all__:
        module = importlib.import_module(_HOLDERS.get(name, "raybench.errors"))
        value = getattr(module, name)
    else:
        raise AttributeError(f"module 'raybench' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
