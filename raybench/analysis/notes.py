"""What a reader has to know of the figures in a table: its footnotes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd

from raybench.analysis.configurations import Configuration, Key
from raybench.catalog.hardware import Hardware

MOST_NAMES = 8
"""Cells and trials that a footnote names before it counts the rest."""


def of_group(group: Configuration, allow: Collection[str] = ()) -> list[str]:
    """Return what holds for every figure of a configuration."""
    return [
        *_trials_per_cell(group),
        *_not_completed(group),
        *_never_planned(group),
        *_hardware(group),
        *_tuned(group),
        *_warnings(group),
        *_allowed(group, allow),
    ]


def refusals(group: Configuration, refused: Mapping[tuple[str, ...], Sequence[Key]]) -> list[str]:
    """Say which ratios were refused, because of which fields, and the way past."""
    said = []
    for fields, keys in refused.items():
        options = dict.fromkeys(field.partition(":")[0].partition(".")[0] for field in fields)
        past = " ".join(f"--allow-mismatch {name}" for name in options)
        titles = named(group.title(key) for key in keys)
        said.append(f"not comparable: {titles}: {'; '.join(fields)}. The way past: {past}")
    return said


def apart_in_time(group: Configuration, pairs: Iterable[tuple[Key, Key]]) -> list[str]:
    """Warn of ratios whose sides were measured on one host, one wholly after the other."""
    started, hosts = (group.frame[name].tolist() for name in ("started_at", "hostname"))
    found = []
    for key, over in pairs:
        sides = [group.completed[side] for side in (key, over)]
        places = {hosts[i] for rows in sides for i in rows}
        if min(map(len, sides)) < 2 or len(places) > 1 or None in places:
            continue
        ours, theirs = ([started[i] for i in rows] for rows in sides)
        if max(ours) < min(theirs) or max(theirs) < min(ours):
            found.append(group.title(key))
    if not found:
        return []
    return [
        f"apart in time: {named(found)}: all repeats of one side ran before those of the other on "
        "the same host, so that a change of its load looks like a speedup. Run them alternately"
    ]


def named(titles: Iterable[str]) -> str:
    """Join titles, the first few by name and the others by number."""
    listed = list(titles)
    more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    return ", ".join(listed[:MOST_NAMES]) + more


def _trials_per_cell(group: Configuration) -> list[str]:
    counts = {key: len(group.completed[key]) for key in group.positions if group.completed[key]}
    if not counts:
        return []
    usual = Counter(counts.values()).most_common(1)[0][0]
    others = [f"{group.title(key)}: {n}" for key, n in counts.items() if n != usual]
    usual_text = "a single run" if usual == 1 else f"{usual} independent repeats"
    return [f"n = {usual} ({usual_text}) in each cell{_except(others)}"]


def _except(others: Sequence[str]) -> str:
    return f", except {named(others)}" if others else ""


def _not_completed(group: Configuration) -> list[str]:
    """Count the trials without a result, and name them with the first line of the reason."""
    frame = group.frame
    found: dict[str, Counter[str]] = {}
    for status, reason, key in zip(frame["status"], frame["reason"], group.cells, strict=True):
        if status != "completed":
            why = f" ({reason})" if reason else ""
            found.setdefault(status, Counter())[f"{group.title(key)}{why}"] += 1
    return [
        f"{status}: {counts.total()} of {len(frame)} trials: {named(_counted(counts))}"
        for status, counts in sorted(found.items())
    ]


def _never_planned(group: Configuration) -> list[str]:
    absent = any(group.state(key) == "absent" for key in group.keys)
    return ["–: not part of the grid"] if absent else []


def _counted(counts: Mapping[str, int]) -> list[str]:
    return [f"{count} × {title}" if count > 1 else title for title, count in counts.items()]


def _hardware(group: Configuration) -> list[str]:
    frame = group.frame
    seen: dict[tuple[str, str], dict[Hardware, None]] = {}
    columns = (frame[name] for name in ("device", "verified", "compute_capability"))
    rows = zip((key.hardware for key in group.cells), *columns, strict=True)
    for hardware, device, verified, capability in dict.fromkeys(rows):
        name = device if isinstance(device, str) else "a device without a name"
        if hardware.cpu_threads is not None:
            if isinstance(device, str):
                seen.setdefault(("measured on a CPU", name), {})[hardware] = None
        elif verified is not pd.NA and not verified:
            simulated = not isinstance(capability, str)
            what = "simulated, not a GPU's figure" if simulated else "label not verified"
            seen.setdefault((what, name), {})[hardware] = None
    return [
        f"{', '.join(map(str, kinds))}: {what} ({device})" for (what, device), kinds in seen.items()
    ]


def _tuned(group: Configuration) -> list[str]:
    """Say that each hardware is at its best, and with which settings."""
    found: dict[str, list[str]] = {}
    for settings, key in dict.fromkeys(zip(group.frame["tuned"], group.cells, strict=True)):
        if isinstance(settings, str):
            found.setdefault(settings, []).append(group.title(key))
    if not found:
        return []
    chosen = "; ".join(f"{settings} ({named(titles)})" for settings, titles in found.items())
    return [f"each hardware at its best, with settings that a tune-up chose: {chosen}"]


def _warnings(group: Configuration) -> list[str]:
    found: dict[str, Counter[str]] = {}
    for kinds, key in zip(group.frame["warnings"], group.cells, strict=True):
        for kind in (kinds or "").split():
            found.setdefault(kind, Counter())[group.title(key)] += 1
    return [
        f"warning {kind}: {counts.total()} of {len(group.frame)} trials: {named(_counted(counts))}"
        for kind, counts in sorted(found.items())
    ]


def _allowed(group: Configuration, allow: Collection[str]) -> list[str]:
    """Say what was let differ, and how it does."""
    said = []
    for name in allow:
        values: dict[str, list[str]] = {}
        known = group.frame[name].notna()
        pairs = (
            (str(value), str(key.hardware))
            for value, key, is_known in zip(group.frame[name], group.cells, known, strict=True)
            if is_known
        )
        for value, hardware in dict.fromkeys(pairs):
            values.setdefault(value, []).append(hardware)
        if len(values) > 1:
            shown = "; ".join(f"{value} ({', '.join(on)})" for value, on in values.items())
            said.append(f"{name} differs, as allowed: {shown}")
    return said
