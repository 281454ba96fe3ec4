"""The sentence of each note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import singledispatch

from raybench.analysis import cells as figures
from raybench.analysis import notes, stability
from raybench.analysis.configurations import Key, Value
from raybench.analysis.tables import Table
from raybench.catalog.hardware import Hardware
from raybench.errors import count
from raybench.report.labels import cell_text, cell_title, listed


@singledispatch
def sentence(note: notes.Note) -> str:
    """Return what a note says, in one sentence or two, without a full stop at the end."""
    raise NotImplementedError(f"no sentence for {type(note).__name__}")


def of_table(table: Table) -> list[str]:
    """Return what a reader has to know of one table's figures."""
    meaning = [table.quantity.meaning] if table.quantity.meaning else []
    return [*meaning, *_geometric_means(table), *map(sentence, table.notes)]


def _geometric_means(table: Table) -> list[str]:
    if len(table.cells) < 2:
        return []
    measured = Counter(key.hardware for key, cell in table.cells.items() if cell.value is not None)
    less = f", less {table.quantity.less}" if table.quantity.less else ""
    return [
        f"geometric mean of the speedups on {hardware} over {measured[hardware]} cells{less}: "
        f"{cell_text(table.quantity, cell)}"
        for hardware, cell in table.means.items()
        if measured[hardware] > 1
    ]


def cells(keys: Iterable[Key]) -> str:
    """Return the titles of cells, the first few by name and the others by number."""
    return listed(map(cell_title, keys))


@sentence.register
def _(note: notes.Repeats) -> str:
    repeats = "a single run" if note.usual == 1 else f"{note.usual} independent repeats"
    others = listed(f"{cell_title(each.cell)}: {each.trials}" for each in note.others)
    return f"n = {note.usual} ({repeats}) in each cell" + (f", except {others}" if others else "")


@sentence.register
def _(note: notes.NotCompleted) -> str:
    return f"{note.status}: {_of(note.trials, note.planned)}: {_counts(note.counts)}"


@sentence.register
def _(note: notes.Attempts) -> str:
    return (
        f"other records, which are lesser and not used: {_of(note.trials, note.planned)}: "
        f"{_counts(note.counts)}. They lie in attempts/"
    )


@sentence.register
def _(note: notes.Warned) -> str:
    return f"warning {note.warning}: {_of(note.trials, note.planned)}: {_counts(note.counts)}"


def _of(trials: int, planned: int) -> str:
    return f"{trials:,} of {count(planned, 'trial')}"


def _counts(counts: Sequence[notes.Count]) -> str:
    return listed(
        (f"{each.trials} × " if each.trials > 1 else "")
        + cell_title(each.cell)
        + (f" ({each.reason})" if each.reason else "")
        for each in counts
    )


@sentence.register
def _(_note: notes.NotPlanned) -> str:
    return "–: not part of the grid"


@sentence.register
def _(note: notes.OnCpu) -> str:
    device = note.device or "a device without a name"
    return f"{_kinds(note.hardware)}: {_ON_CPU[type(note)]} ({device})"


_ON_CPU = {
    notes.OnCpu: "measured on a CPU",
    notes.Simulated: "simulated, not a GPU's figure",
    notes.NotVerified: "label not verified",
}


def _kinds(hardware: Iterable[Hardware]) -> str:
    return ", ".join(map(str, hardware))


@sentence.register
def _(note: notes.Autotuned) -> str:
    chosen = "; ".join(f"{each.settings} ({cells(each.cells)})" for each in note.choices)
    return f"each hardware at its best, with settings that autotune chose: {chosen}"


@sentence.register
def _(note: notes.AllowedToDiffer) -> str:
    values = "; ".join(f"{each.value} ({_kinds(each.hardware)})" for each in note.values)
    return f"{note.field} differs, as allowed: {values}"


@sentence.register
def _(note: notes.NotComparable) -> str:
    ours, theirs = note.cells[0].hardware, note.baseline
    differing = "; ".join(
        f"{'.'.join(filter(None, (each.field, each.switch)))}: "
        f"{_known(each.ours)} ({ours}), {_known(each.theirs)} ({theirs})"
        for each in note.mismatches
    )
    fields = dict.fromkeys(each.field for each in note.mismatches)
    options = " ".join(f"--allow-mismatch {field}" for field in fields)
    return f"not comparable: {cells(note.cells)}: {differing}. To allow it: {options}"


def _known(value: Value) -> Value:
    return "unknown" if value is None else value


@sentence.register
def _(note: notes.ApartInTime) -> str:
    return (
        f"apart in time: {cells(note.cells)}: all repeats of one side ran before those of the "
        "other on the same host, so that a change of its load looks like a speedup. Run them "
        "alternately"
    )


@sentence.register
def _(note: figures.Unmeasured) -> str:
    return f"n/a: {note.reason} {cells(note.cells)}"


@sentence.register
def _(_note: figures.MeanIntervals) -> str:
    return "±: 95 % interval of the mean over independent repeats (Student's t)"


@sentence.register
def _(note: figures.OverBaseline) -> str:
    slowest = "" if note.chosen else ", the slowest measured (--baseline chooses another)"
    less = f", less {note.less}" if note.less else ""
    return (
        f"mean running time on {note.baseline}{slowest}, divided by that on the column's "
        f"hardware{less}"
    )


@sentence.register
def _(note: figures.RatioIntervals) -> str:
    return (
        "[ ]: 95 % interval on the log scale (Welch); ≈: not distinguishable from "
        f"{note.equal} (5 %{holms(note.cells)})"
    )


def holms(number: int) -> str:
    """Say what verdicts on so many cells were corrected for."""
    return f", Holm's correction for {number} cells" if number > 1 else ""


@sentence.register
def _(_note: figures.SingleRuns) -> str:
    return "a single run on either side has no interval and no verdict"


@sentence.register
def _(note: stability.UnstableRepeats) -> str:
    return (
        f"unstable repeats: {_shares(note.spreads)}: standard deviation over mean. "
        f"Add repeats, and {_isolate(isolated=note.isolated)}"
    )


@sentence.register
def _(note: stability.SlowerEpochs) -> str:
    return (
        f"unstable epochs: {_shares(note.changes, 'slower')}: the last third against the first. "
        "Look at clocks and temperature, and at what else runs on the host"
    )


@sentence.register
def _(note: stability.FasterEpochs) -> str:
    return (
        f"unstable epochs: {_shares(note.changes, 'faster')}: the last third against the first. "
        "Raise warmup_steps"
    )


@sentence.register
def _(note: stability.TwoKindsOfSteps) -> str:
    kinds = listed(
        f"{cell_title(each.cell)} ({each.short_ms:.3g} and {each.long_ms:.3g} ms)"
        for each in note.steps
    )
    return (
        f"unstable steps: {kinds}: step times cluster at two values. If data loading is the "
        "difference, give it more num_workers; otherwise look for other load on the host"
    )


@sentence.register
def _(note: stability.Throttled) -> str:
    return (
        f"throttled: {cells(note.cells)}: clocks were held down in "
        f"{_of(note.trials, note.completed)} ({', '.join(note.reasons)}). "
        "Compare with sm_clock_mhz, or measure on a cooler node"
    )


@sentence.register
def _(note: stability.CoLocated) -> str:
    return (
        f"co-located trials: {cells(note.cells)}: up to {count(note.most, 'other')} ran on the "
        f"host at once. To see what they cost, {_isolate(isolated=note.isolated)}"
    )


def _shares(shares: Sequence[stability.Share], than: str = "") -> str:
    return listed(
        f"{cell_title(each.cell)} ({f'{each.fraction:.0%} {than}'.strip()})" for each in shares
    )


def _isolate(*, isolated: bool) -> str:
    return "keep other programs off the host" if isolated else "measure with isolation=node"
