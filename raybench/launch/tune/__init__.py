"""The plan on Ray Tune: each trial in a clean process, placed by custom resources.

The only package that imports ray.tune: ``actor`` is what Tune runs for a trial, ``board`` how far
each trial is, ``search`` and ``callbacks`` what Tune asks and tells the driver, ``run`` the whole.
What a trial is worth is judged by its record, never by Tune's state of it.
"""

from __future__ import annotations

import os

# Read by Tune when it is imported: its own files of results, which nobody reads, and its own
# display are off.
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
