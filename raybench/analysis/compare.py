"""Two result sets of the same measurements, cell by cell: what changed, and is it more than noise?

Cells of both sides are matched by every field of their specs but repeat and seed. Software and
hardware may differ, which is what one compares for; they are listed. The data may not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from raybench.analysis.columns import CONTEXTS, FACTORS, SPEC_FACTORS
from raybench.analysis.configurations import Configuration, Key, configurations, known
from raybench.analysis.statistics import CONFIDENCE, Ratio, below, holm, ratio_of_means, verdicts
from raybench.analysis.trials import Trials
from raybench.errors import ResultsError, SpecError, first_lines

if TYPE_CHECKING:
    import pandas as pd

LISTED = (
    *(name for name in FACTORS if name not in (*SPEC_FACTORS, "dataset_fingerprint")),
    *CONTEXTS,
)
"""Fields whose differences between the sides are listed; what cells match by is none of them."""

Identity = tuple[Key, tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that the sides do not agree in, with the values of each."""

    field: str
    a: tuple[str, ...]
    b: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one cell from A to B, or the problem why it was not compared.

    ``ratio`` is the mean time of A over that of B: above 1, B is the faster. The verdict is on B
    at 95 %, corrected for the number of cells; None for single runs.
    """

    key: Key
    configuration: str
    problem: str = ""
    ratio: Ratio | None = None
    verdict: str | None = None
    too_slow: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two result sets, compared: their differences, and what became of each cell.

    Trials that are on both sides (``shared_trials``) make the sides look alike.
    """

    differences: tuple[Difference, ...]
    changes: tuple[Change, ...]
    shared_trials: int

    @property
    def too_slow(self) -> list[Change]:
        """The cells that are significantly slower than the limit."""
        return [change for change in self.changes if change.too_slow]


def compare(
    a: pd.DataFrame | Trials,
    b: pd.DataFrame | Trials,
    *,
    fail_below: float | None = None,
    allow_mismatch: Collection[str] = (),
) -> Comparison:
    """Compare the running times of two frames of ``raybench.analysis.frame``, before and after.

    A cell is too slow if its ratio is below ``fail_below``, such as 0.95, by a one-sided test at
    5 %, corrected for the number of cells by Holm. Fields of ``allow_mismatch`` may differ among
    the repeats of a cell, and ``dataset_fingerprint`` between the sides.

    Raises:
        SpecError: the limit is none, or a field of ``allow_mismatch`` is unknown.
        ResultsError: no cell was measured on both sides.
    """
    if fail_below is not None and not 0 < fail_below <= 1:
        raise SpecError(
            f"fail_below is {fail_below:g}", allowed="a ratio above 0, at most 1, such as 0.95"
        )
    trials = (Trials.of(a), Trials.of(b))
    sides = [_cells(side, allow_mismatch) for side in trials]
    names = _configuration_names({*sides[0], *sides[1]})
    changes = [
        _change(identity, name, [side.get(identity, []) for side in sides], allow_mismatch)
        for identity, name in names.items()
    ]
    if not any(change.ratio for change in changes):
        raise _nothing_compared(changes)
    return Comparison(
        differences=tuple(_differences(*trials)),
        changes=tuple(_judged(changes, fail_below)),
        shared_trials=len(
            set.intersection(*(set(_completed(t, "trial_id", "started_at")) for t in trials))
        ),
    )


def _cells(
    trials: Trials, allow: Collection[str]
) -> dict[Identity, list[tuple[Configuration, Key]]]:
    """Find each cell's configurations; several, if its trials are of different identity."""
    found: dict[Identity, list[tuple[Configuration, Key]]] = {}
    for group in configurations(trials, allow):
        columns = {name: group.trials[name] for name in SPEC_FACTORS}
        for key, rows in group.positions.items():
            label = key._replace(hardware=replace(key.hardware, device=""))
            spec = tuple(known(columns[name][rows[0]]) for name in SPEC_FACTORS)
            found.setdefault((label, spec), []).append((group, key))
    for identity, several in found.items():
        measured = [(group, key) for group, key in several if group.completed[key]]
        found[identity] = measured or several[:1]
    return found


def _configuration_names(identities: Collection[Identity]) -> dict[Identity, str]:
    """Name what sets cells of one model, dataset and hardware apart, in the order of the keys."""
    specs: dict[Key, list[tuple[Any, ...]]] = {}
    for key, spec in sorted(identities, key=str):
        specs.setdefault(key, []).append(spec)
    names = {}
    for key, several in specs.items():
        varying = [i for i in range(len(SPEC_FACTORS)) if len({spec[i] for spec in several}) > 1]
        for spec in several:
            named = (f"{SPEC_FACTORS[i]} {'none' if spec[i] is None else spec[i]}" for i in varying)
            names[key, spec] = ", ".join(named)
    return names


def _change(
    identity: Identity,
    name: str,
    sides: Sequence[Sequence[tuple[Configuration, Key]]],
    allow: Collection[str],
) -> Change:
    unjudged = Change(key=identity[0], configuration=name)
    times, fingerprints = [], []
    for side, cells in zip("AB", sides, strict=True):
        if not cells:
            return replace(unjudged, problem=f"not in {side}")
        if len(cells) > 1:
            several = "; ".join(group.name or str(key.hardware) for group, key in cells)
            return replace(unjudged, problem=f"{side} holds unlike trials: {several}")
        ((group, key),) = cells
        if not group.completed[key]:
            return replace(unjudged, problem=f"{group.state(key)} in {side}")
        times.append(group.samples("running_time_s")[key])
        fingerprints.append(group.identities[key]["dataset_fingerprint"])
    if fingerprints[0] != fingerprints[1] and "dataset_fingerprint" not in allow:
        return replace(
            unjudged,
            problem="the data differ. To allow it: --allow-mismatch dataset_fingerprint",
        )
    return replace(unjudged, ratio=ratio_of_means(*times))


def _judged(changes: Sequence[Change], fail_below: float | None) -> list[Change]:
    ratios = {i: change.ratio for i, change in enumerate(changes) if change.ratio}
    found = dict(zip(ratios, verdicts(list(ratios.values())), strict=True))
    limit = fail_below or 0.0
    judged = {i: below(ratio, limit) for i, ratio in ratios.items() if limit and ratio.terms}
    adjusted = dict(zip(judged, holm(list(judged.values())), strict=True))
    return [
        replace(change, verdict=found.get(i), too_slow=adjusted.get(i, 1) < 1 - CONFIDENCE)
        for i, change in enumerate(changes)
    ]


def _completed(trials: Trials, *names: str) -> Iterator[tuple[Any, ...]]:
    columns = (trials[name] for name in names)
    for status, *values in zip(trials["status"], *columns, strict=True):
        if status == "completed":
            yield tuple(map(known, values))


def _differences(a: Trials, b: Trials) -> list[Difference]:
    found = []
    for name in LISTED:
        values = [
            tuple(sorted({str(value) for (value,) in _completed(side, name)})) for side in (a, b)
        ]
        if values[0] != values[1]:
            found.append(Difference(field=name, a=values[0], b=values[1]))
    return found


def _nothing_compared(changes: Sequence[Change]) -> ResultsError:
    names = (" · ".join(filter(None, (str(each.key), each.configuration))) for each in changes)
    problems = [f"{name}: {each.problem}" for name, each in zip(names, changes, strict=True)]
    return ResultsError(
        f"nothing was measured on both sides{first_lines(problems, 8)}",
        hint="compare results of the same grid",
    )
