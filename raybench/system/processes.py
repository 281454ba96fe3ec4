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
    """Return when a process of this machine started; None if it does not run.

    Of two processes of one number, it tells them apart. On Linux it counts from the machine's own
    start, which no change of the clock alters. A process that died and that nobody waited for yet
    does not run.
    """
    if not Path("/proc/self/stat").exists():
        return _started_elsewhere(pid)
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *others = text.rpartition(")")[2].split()
    return None if state in "ZX" else float(others[18])


def _started_elsewhere(pid: int) -> float | None:
    import psutil  # noqa: PLC0415 - Linux needs none

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return 0.0


def is_running(pid: int) -> bool:
    """Whether a process of this machine runs."""
    return started(pid) is not None
