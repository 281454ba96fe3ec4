"""Which trials are repeats of one another, and which may be divided by one another."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from raybench.analysis.columns import FACTORS, SPEC_FACTORS
from raybench.analysis.row import LARGEST
from raybench.analysis.trials import Trials
from raybench.catalog.datasets import DATASETS
from raybench.catalog.hardware import Hardware
from raybench.catalog.models import MODELS
from raybench.errors import unknown

State = Literal[
    "measured", "unmeasured", "failed", "interrupted", "missing", "not comparable", "absent"
]
"""``unmeasured``: it completed, but without this figure; ``absent``: it was never planned."""

_WITHOUT_RESULT: tuple[State, ...] = ("failed", "interrupted", "missing")
"""The gravest first."""

Value = str | int | float | bool | None
"""Of a field of a spec or a record, as Python sees it; None is unknown."""


class Key(NamedTuple):
    """A cell of a table."""

    model: str
    dataset: str
    hardware: Hardware

    def __str__(self) -> str:
        return " · ".join(map(str, self))

    def on(self, hardware: Hardware) -> Key:
        """Return the cell of another hardware beside it."""
        return self._replace(hardware=hardware)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Trials that differ in model, dataset, hardware and repeat alone.

    The name is what sets them apart from other configurations, or "". There is a cell for each
    row; its hardware has the device's own name where several kinds of device bear one label.
    """

    name: str
    trials: Trials
    cells: Sequence[Key]

    @cached_property
    def positions(self) -> dict[Key, list[int]]:
        """Row numbers of each cell's trials."""
        found: dict[Key, list[int]] = {}
        for position, key in enumerate(self.cells):
            found.setdefault(key, []).append(position)
        return found

    @cached_property
    def completed(self) -> dict[Key, list[int]]:
        """Row numbers of each cell's completed trials."""
        statuses = self.trials["status"]
        return {
            key: [i for i in rows if statuses[i] == "completed"]
            for key, rows in self.positions.items()
        }

    @cached_property
    def models(self) -> tuple[str, ...]:
        """In the order of the catalog, the user's own last."""
        return tuple(MODELS.in_order(key.model for key in self.positions))

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """In the order of the catalog."""
        return tuple(DATASETS.in_order(key.dataset for key in self.positions))

    @cached_property
    def hardware(self) -> tuple[Hardware, ...]:
        """The fastest first; without any result last."""
        slowness = self._slowness
        return tuple(sorted(slowness, key=lambda hardware: (slowness[hardware], hardware)))

    @property
    def slowest(self) -> Hardware:
        """The hardware that is slowest, of those with a result."""
        measured = [each for each in self.hardware if math.isfinite(self._slowness[each])]
        return (measured or self.hardware)[-1]

    @cached_property
    def _slowness(self) -> dict[Hardware, float]:
        """Mean over cells of log(time / mean time of that model and dataset); inf without any."""
        times = self.trials["running_time_s"]
        logs = {
            key: math.fsum(math.log(times[i]) for i in rows) / len(rows)
            for key, rows in self.completed.items()
            if rows
        }
        levels: dict[tuple[str, str], list[float]] = {}
        for key, value in logs.items():
            levels.setdefault((key.model, key.dataset), []).append(value)
        relative: dict[Hardware, list[float]] = {key.hardware: [] for key in self.positions}
        for key, value in logs.items():
            level = levels[key.model, key.dataset]
            relative[key.hardware].append(value - math.fsum(level) / len(level))
        return {
            hardware: math.fsum(values) / len(values) if values else math.inf
            for hardware, values in relative.items()
        }

    @cached_property
    def keys(self) -> list[Key]:
        """Every cell of the full product, in the order of the tables."""
        return [
            Key(model, dataset, hardware)
            for model in self.models
            for hardware in self.hardware
            for dataset in self.datasets
        ]

    def samples(self, column: str) -> dict[Key, list[Any]]:
        """Return what the completed trials of each measured cell have in a column."""
        values = self.trials[column]
        measured = ((key, self.completed.get(key)) for key in self.keys)
        return {key: [values[i] for i in rows] for key, rows in measured if rows}

    def state(self, key: Key) -> State:
        """Whether a cell has a complete trial, or the gravest reason why it has none."""
        if self.completed.get(key):
            return "measured"
        statuses = {self.trials["status"][i] for i in self.positions.get(key, ())}
        return next((state for state in _WITHOUT_RESULT if state in statuses), "absent")

    @cached_property
    def identities(self) -> dict[Key, dict[str, Any]]:
        """Each measured cell's identity: that of its first complete trial."""
        return {
            key: {name: known(self.trials[name][rows[0]]) for name in FACTORS}
            for key, rows in self.completed.items()
            if rows
        }


def configurations(trials: Trials, allow: Collection[str] = ()) -> list[Configuration]:
    """Split trials so that no cell pools trials of different identity, but for fields of ``allow``.

    Raises:
        SpecError: a field of ``allow`` is unknown.
    """
    for name in allow:
        if name not in FACTORS:
            raise unknown("unknown field", name, FACTORS)
    cells = _cells(trials, by_device="device" not in allow)
    varying = _varying(trials, cells, allow)
    if not varying:
        return [Configuration(name="", trials=trials, cells=cells)]
    positions: dict[tuple[Any, ...], list[int]] = {}
    for position, values in enumerate(zip(*varying.values(), strict=True)):
        positions.setdefault(values, []).append(position)
    whole = [values for values in positions if None not in values]
    # A trial that failed has no environment: it belongs wherever it does not contradict.
    stray = [v for v in positions if None in v and not any(_agree(v, other) for other in whole)]
    found = []
    for values in sorted([*whole, *stray], key=_sort_key):
        fitting = sorted(
            position
            for others, holders in positions.items()
            if others == values or (None in others and _agree(others, values))
            for position in holders
        )
        known = {f: v for f, v in zip(varying, values, strict=True) if v is not None}
        name = ", ".join(f"{field} {value}" for field, value in known.items())
        rows = trials.take(fitting)
        found.append(Configuration(name=name, trials=rows, cells=[cells[i] for i in fitting]))
    return found


def _agree(others: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
    return all(other in (None, value) for other, value in zip(others, values, strict=True))


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A field in which two cells differ, and of ``flags`` and ``variables`` the switch."""

    field: str
    switch: str = ""
    ours: Value
    theirs: Value


def mismatches(
    group: Configuration, key: Key, other: Key, allow: Collection[str] = ()
) -> tuple[Mismatch, ...]:
    """Return each field in which two measured cells differ, with both values; () if none does."""
    if key not in group.identities or other not in group.identities:
        return ()
    first, second = group.identities[key], group.identities[other]
    on_cpu = [side.hardware.cpu_threads is not None for side in (key, other)]
    found: list[Mismatch] = []
    for name in FACTORS:
        ours, theirs = first[name], second[name]
        if name in allow or ours == theirs:
            continue
        if name == "device" and not all(on_cpu):
            continue  # GPUs of different labels are different devices
        if name in ("cuda", "cudnn", "mig", "mps") and any(on_cpu) and None in (ours, theirs):
            continue
        if name not in ("flags", "variables") or None in (ours, theirs):
            found.append(Mismatch(field=name, ours=_meant(name, ours), theirs=_meant(name, theirs)))
            continue
        ours, theirs = json.loads(ours), json.loads(theirs)
        for switch in sorted({*ours, *theirs}):
            one, two = ours.get(switch), theirs.get(switch)
            if one != two:
                sides = {"ours": _flat(one), "theirs": _flat(two)}
                found.append(Mismatch(field=name, switch=switch, **sides))
    return tuple(found)


def _flat(value: Any) -> Value:
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def known(value: Any) -> Any:
    """Return None for NaN, which does not equal itself."""
    return value if value == value else None  # noqa: PLR0124


def _sort_key(values: tuple[Any, ...]) -> list[tuple[str, Any]]:
    return [
        ("", 0) if value is None else ("text" if isinstance(value, str) else "number", value)
        for value in values
    ]


def _meant(name: str, value: Any) -> Any:
    """Say what a null in a spec means: the largest batch, or no limit."""
    if value is None and name in SPEC_FACTORS:
        return LARGEST if name == "batch_size" else "none"
    return value


def _varying(trials: Trials, cells: Sequence[Key], allow: Collection[str]) -> dict[str, list[Any]]:
    """Return the values of each field that differs between trials of one cell.

    In the spec a null is a value, such as no limit; elsewhere it is unknown.
    """
    found = {}
    for name in FACTORS:
        values = [_meant(name, known(value)) for value in trials[name]]
        of_cell: dict[Key, Any] = {}
        same = all(
            value is None or of_cell.setdefault(key, value) == value
            for key, value in zip(cells, values, strict=True)
        )
        if name not in allow and not same:
            found[name] = values
    return found


def _cells(trials: Trials, *, by_device: bool) -> list[Key]:
    """Return each row's cell; kinds of device that bear one label, such as a P100's PCIe and SXM2,
    are told apart.
    """
    pairs = list(zip(trials["hardware"], trials["device"], strict=True))
    kinds = Counter(label for label, device in set(pairs) if device is not None)
    hardware = [
        Hardware(label, device=device if by_device and kinds[label] > 1 and device else "")
        for label, device in pairs
    ]
    return list(map(Key, trials["model"], trials["dataset"], hardware))
