"""Where a trial may run: what it asks of Ray, and whether a cluster can ever give it.

Every node offers Ray its processors, its GPUs, a custom resource for each GPU type, such as
``{"P100": 4}``, and one ``raybench_node``. A trial asks for the type that it names, and for a
share of the node: a small one, or all of it with ``isolation: node``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from raybench.errors import ClusterError, count
from raybench.spec.trial import TrialSpec

NODE = "raybench_node"
"""The resource that stands for a node as a whole."""

NODE_SHARE = 0.001
"""What a trial takes of a node that it does not want for itself."""

NODE_TIMEOUT_S = 300.0
"""How long a grid waits for a node when none can run what is left, in seconds."""


def resources_of(trial: TrialSpec) -> dict[str, float]:
    """Return what a trial asks of Ray; all of it has to come from one node."""
    node = {NODE: 1.0 if trial.isolation == "node" else NODE_SHARE}
    threads = trial.cpu_threads
    if threads is not None:
        return {"CPU": float(threads), **node}
    return {"CPU": 1.0 + (trial.num_workers or 0), "GPU": 1.0, trial.hardware: 1.0, **node}


class TrialQueue(NamedTuple):
    """Trials that compete for the same devices, in running order."""

    resources: dict[str, float]
    """what each of them asks of Ray: the most that any of them needs. Asking alike, they run in
    their order on whatever is free, and on nodes that could run them all"""
    trials: tuple[TrialSpec, ...]


def trial_queues(trials: Iterable[TrialSpec]) -> list[TrialQueue]:
    """Split a plan into queues, each keeping the plan's order."""
    by_devices: dict[tuple[str, str], list[TrialSpec]] = {}
    for trial in trials:
        # Without a node for themselves, cpu:1 and cpu:4 may run at once: they do not compete.
        shared_cpu = trial.cpu_threads is not None and trial.isolation == "node"
        devices = "cpu" if shared_cpu else trial.hardware
        by_devices.setdefault((devices, trial.isolation), []).append(trial)
    queues = []
    for members in by_devices.values():
        resources: dict[str, float] = {}
        for trial in members:
            for name, amount in resources_of(trial).items():
                resources[name] = max(amount, resources.get(name, 0.0))
        queues.append(TrialQueue(resources, tuple(members)))
    return queues


def slots(wanted: Mapping[str, float], nodes: Iterable[Mapping[str, float]]) -> int:
    """Return how many trials that ask for ``wanted`` can run at once."""
    return sum(
        min((int(node.get(name, 0) / amount) for name, amount in wanted.items()), default=0)
        for node in nodes
    )


def check_placeable(
    trials: Iterable[TrialSpec], nodes: Sequence[Mapping[str, float]], where: str
) -> None:
    """Refuse trials that none of the nodes, by all resources of each, can ever run.

    Raises:
        ClusterError: naming what is asked for, and what there is.
    """
    impossible = [queue for queue in trial_queues(trials) if not slots(queue.resources, nodes)]
    if impossible:
        raise ClusterError(
            f"{where} cannot run the plan: {_needs(impossible)}",
            allowed=_offers(nodes) or "it has no node",
            hint="leave that hardware out (-s hardware=[…]), set num_workers lower, "
            "or start a cluster that has it",
        )


class NodeWatch:
    """Notices when nodes have died, or left, that a grid cannot go on without, for ``limit_s``."""

    def __init__(self, trials: Iterable[TrialSpec], limit_s: float) -> None:
        self._queues = trial_queues(trials)
        self._limit_s = limit_s
        self._since_s: float | None = None

    def look(
        self, ended: Container[str], nodes: Sequence[Mapping[str, float]], now_s: float
    ) -> str | None:
        """Return why the grid is to stop: for too long, no node could run any trial that is left.

        Args:
            ended: the ids of the trials that will not run any more.
            nodes: the resources in all of each node that is alive.
            now_s: seconds on a clock that only goes forward.
        """
        left = [
            TrialQueue(queue.resources, trials)
            for queue in self._queues
            if (trials := tuple(trial for trial in queue.trials if trial.trial_id not in ended))
        ]
        if not left or any(slots(queue.resources, nodes) for queue in left):
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < self._limit_s:
            return None
        return (
            f"for {self._limit_s:g} s there has been no node that can run what is left: "
            f"{_needs(left)}; there is {_offers(nodes) or 'no node'}"
        )


def _needs(queues: Iterable[TrialQueue]) -> str:
    counts: Counter[str] = Counter()
    for queue in queues:
        counts[_text(queue.resources)] += len(queue.trials)
    return "; ".join(
        f"{count(number, 'trial')} {'needs' if number == 1 else 'need'} {what} on one node"
        for what, number in counts.items()
    )


def _offers(nodes: Iterable[Mapping[str, float]]) -> str:
    counts = Counter(_text(node) for node in nodes)
    return "; ".join(f"{count(number, 'node')} with {what}" for what, number in counts.items())


def _text(resources: Mapping[str, float]) -> str:
    """Write resources for a person: without Ray's own ones, and without a node's small share."""
    shown = {
        name: amount
        for name, amount in sorted(resources.items())
        if not name.startswith(("node:", "memory", "object_store_memory", "accelerator_type:"))
        and not (name == NODE and amount == NODE_SHARE)
    }
    return ", ".join(f"{name} {amount:g}" for name, amount in shown.items()) or "nothing"
