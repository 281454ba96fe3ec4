"""Which process of which machine something belongs to, and whether that still runs."""

from __future__ import annotations

import os
from pathlib import Path


def machine() -> str:
    """Return a name for what process numbers count in: the node, and the container on it."""
    try:
        numbers = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not on Linux, where containers have no numbers of their own
        numbers = 0
    return f"{os.uname().nodename}-{numbers:x}"


def started(pid: int) -> float | None:
    """Return when a process of this machine started, on its clock; None if it does not run."""
    import psutil  # noqa: PLC0415 - most commands need none

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return 0.0


def is_running(pid: int) -> bool:
    """Whether a process of this machine runs; one that died and was not yet waited for does not."""
    return started(pid) is not None
