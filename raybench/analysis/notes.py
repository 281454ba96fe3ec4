"""What a reader has to know of the figures, as data, and what raises each.

Its sentence is made once, in ``raybench.report.notes``. To add a footnote: a class here, what
detects it, that function's name in ``DETECTORS``; and its sentence there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raybench.analysis.configurations import Configuration, Key, Mismatch
from raybench.catalog.hardware import Hardware


@dataclass(frozen=True, kw_only=True)
class Note:
    """A footnote."""

    @property
    def kind(self) -> str:
        """What it is about, for programs: ``not_comparable`` of ``NotComparable``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many trials of a cell something holds for, and why, where there is a reason."""

    cell: Key
    trials: int
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Repeats(Note):
    """How many independent repeats a cell pools, and which cells pool another number."""

    usual: int
    others: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class NotCompleted(Note):
    """``trials`` of all ``planned`` ones failed, were interrupted or have no record."""

    status: str
    trials: int
    planned: int
    counts: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class Attempts(Note):
    """``trials`` of all ``planned`` ones have other records, which are lesser and not used."""

    trials: int
    planned: int
    counts: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class NotPlanned(Note):
    """Cells that no trial was planned for."""

    cells: tuple[Key, ...]


@dataclass(frozen=True, kw_only=True)
class OnCpu(Note):
    """Hardware that is a processor, and which; None if it has no name."""

    hardware: tuple[Hardware, ...]
    device: str | None


@dataclass(frozen=True, kw_only=True)
class Simulated(OnCpu):
    """Hardware that bears a GPU's label, and was no GPU."""


@dataclass(frozen=True, kw_only=True)
class NotVerified(OnCpu):
    """Hardware whose own name was not, or could not be, checked against the label."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Settings that autotune chose for some cells."""

    settings: str
    cells: tuple[Key, ...]


@dataclass(frozen=True, kw_only=True)
class Autotuned(Note):
    """Each hardware was measured at its best, with settings of its own."""

    choices: tuple[Chosen, ...]


@dataclass(frozen=True, kw_only=True)
class Warned(Note):
    """``trials`` of all ``planned`` ones have this warning in their records."""

    warning: str
    trials: int
    planned: int
    counts: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class ValueOn:
    """What a field is on some hardware."""

    value: str
    hardware: tuple[Hardware, ...]


@dataclass(frozen=True, kw_only=True)
class AllowedToDiffer(Note):
    """A field that differs, which was allowed."""

    field: str
    values: tuple[ValueOn, ...]


@dataclass(frozen=True, kw_only=True)
class NotComparable(Note):
    """Cells of one hardware that may not be divided by those of another, and why."""

    cells: tuple[Key, ...]
    baseline: Hardware
    mismatches: tuple[Mismatch, ...]


@dataclass(frozen=True, kw_only=True)
class ApartInTime(Note):
    """Cells whose repeats all ran before, or all after, those that they are divided by, on the
    same host.
    """

    cells: tuple[Key, ...]


def of_configuration(group: Configuration, allow: Collection[str] = ()) -> list[Note]:
    """Return what holds for every figure of a configuration."""
    found = [note for detect in DETECTORS for note in detect(group)]
    return [*found, *_allowed(group, allow)]


def refusals(
    refused: Mapping[Key, tuple[Mismatch, ...]], baseline: Hardware
) -> list[NotComparable]:
    """Say which cells may not be divided by the baseline's, by the fields that differ."""
    found: dict[tuple[Hardware, tuple[Mismatch, ...]], list[Key]] = {}
    for key, differing in refused.items():
        found.setdefault((key.hardware, differing), []).append(key)
    return [
        NotComparable(cells=tuple(keys), baseline=baseline, mismatches=differing)
        for (_, differing), keys in found.items()
    ]


def apart_in_time(
    group: Configuration, cells: Iterable[Key], baseline: Hardware
) -> list[ApartInTime]:
    """Find cells that were measured on one host with the baseline's, and all before or after."""
    started, hosts = group.samples("started_at"), group.samples("hostname")
    found = []
    for key in cells:
        ours, theirs = started[key], started[key.on(baseline)]
        places = {*hosts[key], *hosts[key.on(baseline)]}
        if min(len(ours), len(theirs)) < 2 or len(places) > 1 or None in places:
            continue
        if max(ours) < min(theirs) or max(theirs) < min(ours):
            found.append(key)
    return [ApartInTime(cells=tuple(found))] if found else []


def _repeats(group: Configuration) -> Iterator[Note]:
    counts = {key: len(group.completed[key]) for key in group.positions if group.completed[key]}
    if counts:
        usual = Counter(counts.values()).most_common(1)[0][0]
        others = (Count(cell=key, trials=n) for key, n in counts.items() if n != usual)
        yield Repeats(usual=usual, others=tuple(others))


def _not_completed(group: Configuration) -> Iterator[Note]:
    columns = (group.trials[name] for name in ("status", "reason"))
    rows = zip(*columns, group.cells, strict=True)
    found = ((status, key, reason or "") for status, reason, key in rows if status != "completed")
    for status, counted in _by_kind(group, found):
        yield NotCompleted(status=status, **counted)


def _by_kind(
    group: Configuration, found: Iterable[tuple[str, Key, str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Count trials by (kind, cell, reason): yield each kind with the fields of its note."""
    kinds: dict[str, Counter[tuple[Key, str]]] = {}
    for kind, key, reason in found:
        kinds.setdefault(kind, Counter())[key, reason] += 1
    for kind, counts in sorted(kinds.items()):
        counted = (Count(cell=key, trials=n, reason=why) for (key, why), n in counts.items())
        yield (
            kind,
            {
                **{"trials": counts.total(), "planned": group.trials.count},
                "counts": tuple(counted),
            },
        )


def _attempts(group: Configuration) -> Iterator[Note]:
    rows = zip(group.cells, group.trials["attempts"], strict=True)
    found = [(key, lesser) for key, lesser in rows if lesser is not None]
    counts: Counter[Key] = Counter()
    for key, lesser in found:
        counts[key] += int(lesser)
    if found:
        counted = tuple(Count(cell=key, trials=n) for key, n in counts.items())
        yield Attempts(trials=len(found), planned=group.trials.count, counts=counted)


def _not_planned(group: Configuration) -> Iterator[Note]:
    absent = tuple(key for key in group.keys if group.state(key) == "absent")
    if absent:
        yield NotPlanned(cells=absent)


def _hardware(group: Configuration) -> Iterator[Note]:
    seen: dict[tuple[type[OnCpu], str | None], dict[Hardware, None]] = {}
    columns = (group.trials[n] for n in ("device", "verified", "compute_capability"))
    rows = zip((key.hardware for key in group.cells), *columns, strict=True)
    for hardware, device, verified, capability in dict.fromkeys(rows):
        if hardware.cpu_threads is not None:
            kind = OnCpu if device is not None else None
        elif verified is False:
            kind = Simulated if capability is None else NotVerified
        else:
            kind = None
        if kind:
            seen.setdefault((kind, device), {})[hardware] = None
    for (kind, device), hardware in seen.items():
        yield kind(hardware=tuple(hardware), device=device)


def _autotuned(group: Configuration) -> Iterator[Note]:
    found: dict[str, list[Key]] = {}
    for settings, key in dict.fromkeys(zip(group.trials["tuned"], group.cells, strict=True)):
        if isinstance(settings, str):
            found.setdefault(settings, []).append(key)
    choices = tuple(Chosen(settings=each, cells=tuple(keys)) for each, keys in found.items())
    if choices:
        yield Autotuned(choices=choices)


def _warnings(group: Configuration) -> Iterator[Note]:
    rows = zip(group.trials["warnings"], group.cells, strict=True)
    found = ((kind, key, "") for kinds, key in rows for kind in (kinds or "").split())
    for kind, counted in _by_kind(group, found):
        yield Warned(warning=kind, **counted)


DETECTORS: tuple[Callable[[Configuration], Iterable[Note]], ...] = (
    _repeats,
    _not_completed,
    _attempts,
    _not_planned,
    _hardware,
    _autotuned,
    _warnings,
)
"""What is looked for in every configuration, in the order of the footnotes."""


def _allowed(group: Configuration, allow: Collection[str]) -> Iterator[Note]:
    for name in allow:
        values: dict[str, dict[Hardware, None]] = {}
        for value, key in zip(group.trials[name], group.cells, strict=True):
            if value is not None and value == value:  # noqa: PLR0124 - neither None nor NaN
                values.setdefault(str(value), {})[key.hardware] = None
        if len(values) > 1:
            found = (ValueOn(value=v, hardware=tuple(on)) for v, on in values.items())
            yield AllowedToDiffer(field=name, values=tuple(found))
