"""The processors that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

from raybench.system.variables import variable


def allowed_cpus() -> int:
    """Return how many CPUs this process may use: its affinity, and its cgroup's quota."""
    return max(1, int(min(len(os.sched_getaffinity(0)), _cgroup_cpus())))


def _cgroup_cpus(
    own: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> float:
    """Return the smallest CPU quota of this process's cgroup and those above it, in CPUs."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return float("inf")
    quotas = [float("inf")]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / controllers if controllers else mount
        folder = root / path.lstrip("/")
        while folder.is_relative_to(root):
            quotas.append(_quota(folder))
            folder = folder.parent
    return min(quotas)


def _quota(folder: Path) -> float:
    """Return a cgroup's quota in CPUs, of version 2 or 1; infinity where it sets none."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return float("inf")
    return float("inf") if quota in ("max", "-1") else int(quota) / int(period)


def thread_limit() -> float:
    """Return OpenMP's own cap on threads, which torch does not know of; infinity without one."""
    limit = variable("OMP_THREAD_LIMIT") or ""
    return int(limit) if limit.isdecimal() and int(limit) else float("inf")


def cpu_model() -> str | None:
    """Return the processor's name, or None where the kernel does not tell it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu"):
            return value.strip()
    return None
