"""The plan on Ray Tune: each trial in a clean process, placed by custom resources.

The only room that imports ray.tune. ``actor`` is what Tune runs for a trial, ``hooks`` what Tune
asks and tells the driver, ``run`` a grid from its start to its end. What a trial is worth is
judged by its record, never by Tune's state of it.
"""

from __future__ import annotations

import os

from raybench.launch.grid import GridRequest, GridRun, check_cluster, run_grid

# Read by Tune when it is imported: its own files of results, which nobody reads, and its own
# display are off.
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"

__all__ = ["GridRequest", "GridRun", "check_cluster", "run_grid"]
