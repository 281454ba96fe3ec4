"""What a grid would run, where, and about how long; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raybench.errors import ClusterError
from raybench.record.scan import Unreadable, scan
from raybench.record.store import Experiment
from raybench.schedule.estimate import Estimates
from raybench.schedule.resources import check_placeable
from raybench.spec.grid import GridSpec
from raybench.spec.trial import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The trials of a grid in running order, and what is known of them before they run."""

    experiment: str
    trials: tuple[TrialSpec, ...]
    complete: frozenset[str]
    """ids of those that have been measured already"""
    expected_s: Mapping[str, float]
    """running times in seconds of those due, as far as the like was measured, by id"""
    where: str
    """the cluster or machine that was asked"""
    lacks: str
    """what it lacks for the trials that are due; an empty string if nothing"""

    @property
    def due(self) -> list[TrialSpec]:
        """The trials that are still to run."""
        return [trial for trial in self.trials if trial.trial_id not in self.complete]


def make_plan(
    grid: GridSpec, experiment: Experiment, nodes: Sequence[Mapping[str, float]], where: str
) -> Plan:
    """Plan a grid on nodes that are there, by all resources of each.

    Raises:
        SpecError: a combination of the grid cannot work, or it holds no trial.
    """
    trials = grid.plan()
    complete = frozenset(trial.trial_id for trial in trials if experiment.is_complete(trial))
    due = [trial for trial in trials if trial.trial_id not in complete]
    try:
        check_placeable(due, nodes, where)
        lacks = ""
    except ClusterError as error:
        lacks = str(error)
    return Plan(
        experiment=experiment.name,
        trials=tuple(trials),
        complete=complete,
        expected_s=_expected_s(due, experiment),
        where=where,
        lacks=lacks,
    )


def _expected_s(due: Sequence[TrialSpec], experiment: Experiment) -> dict[str, float]:
    """Estimate running times from complete records of the same work, differing in its amount."""
    found = scan([experiment.folder]) if due and (experiment.folder / "records").is_dir() else ()
    estimates = Estimates(item[1] for item in found if not isinstance(item, Unreadable))
    times_s = {trial.trial_id: estimates.known_s(trial) for trial in due}
    return {name: time_s for name, time_s in times_s.items() if time_s is not None}
