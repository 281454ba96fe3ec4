"""Where a trial may run: what it asks of Ray, and whether a cluster can ever give it.

Every host offers Ray its processors, its GPUs, a custom resource for each GPU type, such as
``{"P100": 4}``, and one ``raybench_node``. A trial asks for the type that it names, and for a
share of the host: a small one, or all of it with ``isolation: node``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from raybench.errors import ClusterError
from raybench.spec.trial import TrialSpec

NODE = "raybench_node"
"""The resource that stands for a host as a whole."""

NODE_SHARE = 0.001
"""What a trial takes of a host that it does not want for itself."""

NODE_TIMEOUT_S = 300.0
"""How long a grid waits for a host when none can run what is left, in seconds."""


def resources_of(trial: TrialSpec) -> dict[str, float]:
    """Return what a trial asks of Ray; all of it has to come from one host."""
    host = {NODE: 1.0 if trial.isolation == "node" else NODE_SHARE}
    threads = trial.cpu_threads
    if threads is not None:
        return {"CPU": float(threads), **host}
    return {"CPU": 1.0 + (trial.num_workers or 0), "GPU": 1.0, trial.hardware: 1.0, **host}


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Trials that compete for the same devices, in running order.

    Attributes:
        resources: what each of them asks of Ray: the most that any of them needs. Asking alike,
            they run in their order on whatever is free, and on hosts that could run them all.
        trials: the trials.
    """

    resources: dict[str, float]
    trials: tuple[TrialSpec, ...]


def lanes_of(trials: Iterable[TrialSpec]) -> list[Lane]:
    """Split a plan into lanes, each keeping the plan's order."""
    by_devices: dict[tuple[str, str], list[TrialSpec]] = {}
    for trial in trials:
        # Without a host for themselves, cpu:1 and cpu:4 may run at once: they do not compete.
        shared_cpu = trial.cpu_threads is not None and trial.isolation == "node"
        devices = "cpu" if shared_cpu else trial.hardware
        by_devices.setdefault((devices, trial.isolation), []).append(trial)
    lanes = []
    for members in by_devices.values():
        resources: dict[str, float] = {}
        for trial in members:
            for name, amount in resources_of(trial).items():
                resources[name] = max(amount, resources.get(name, 0.0))
        lanes.append(Lane(resources=resources, trials=tuple(members)))
    return lanes


def slots(wanted: Mapping[str, float], hosts: Iterable[Mapping[str, float]]) -> int:
    """Return how many trials that ask for ``wanted`` can run at once."""
    return sum(
        min((int(host.get(name, 0) / amount) for name, amount in wanted.items()), default=0)
        for host in hosts
    )


def check_placeable(
    trials: Iterable[TrialSpec], hosts: Sequence[Mapping[str, float]], where: str
) -> None:
    """Refuse trials that no host of the cluster can ever run, so that none waits for ever.

    Args:
        trials: the plan.
        hosts: the resources in all of each host.
        where: the cluster, for the message.

    Raises:
        ClusterError: naming what is asked for, and what there is.
    """
    impossible = [lane for lane in lanes_of(trials) if not _placeable(lane, hosts)]
    if impossible:
        raise ClusterError(
            f"{where} cannot run the plan: {_needs(impossible)}",
            allowed=_offers(hosts) or "it has no host",
            hint="leave that hardware out (-s hardware=[…]), set num_workers lower, "
            "or start a cluster that has it",
        )


class HostWatch:
    """Notices when hosts have died, or left, that a grid cannot go on without.

    Args:
        trials: the plan.
        limit_s: how long to wait for another host, in seconds.
    """

    def __init__(self, trials: Iterable[TrialSpec], limit_s: float) -> None:
        self._lanes = lanes_of(trials)
        self._limit_s = limit_s
        self._since_s: float | None = None

    def look(
        self, ended: Container[str], hosts: Sequence[Mapping[str, float]], now_s: float
    ) -> str | None:
        """Return why the grid is to stop: for too long, no host could run any trial that is left.

        Args:
            ended: the ids of the trials that will not run any more.
            hosts: the resources in all of each host that is alive.
            now_s: seconds on a clock that only goes forward.
        """
        left = [
            Lane(resources=lane.resources, trials=trials)
            for lane in self._lanes
            if (trials := tuple(trial for trial in lane.trials if trial.trial_id not in ended))
        ]
        if not left or any(_placeable(lane, hosts) for lane in left):
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < self._limit_s:
            return None
        return (
            f"for {self._limit_s:g} s there has been no host that can run what is left: "
            f"{_needs(left)}; there is {_offers(hosts) or 'no host'}"
        )


def _placeable(lane: Lane, hosts: Iterable[Mapping[str, float]]) -> bool:
    return any(
        all(host.get(name, 0) >= amount for name, amount in lane.resources.items())
        for host in hosts
    )


def _needs(lanes: Iterable[Lane]) -> str:
    counts: Counter[str] = Counter()
    for lane in lanes:
        counts[_text(lane.resources)] += len(lane.trials)
    return "; ".join(f"{count} trial(s) need {what} on one host" for what, count in counts.items())


def _offers(hosts: Iterable[Mapping[str, float]]) -> str:
    counts = Counter(_text(host) for host in hosts)
    return "; ".join(f"{count} host(s) with {what}" for what, count in counts.items())


def _text(resources: Mapping[str, float]) -> str:
    """Write resources for a person: without Ray's own ones, and without a host's small share."""
    shown = {
        name: amount
        for name, amount in sorted(resources.items())
        if not name.startswith(("node:", "memory", "object_store_memory", "accelerator_type:"))
        and not (name == NODE and amount == NODE_SHARE)
    }
    return ", ".join(f"{name} {amount:g}" for name, amount in shown.items()) or "nothing"
