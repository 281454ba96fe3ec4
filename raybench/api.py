"""The Python API: measure, load, and understand what was measured. It prints nothing.

import raybench

records = raybench.run("grid.yaml")       # trials that are complete are not run again
frame = raybench.load("results/grid")     # a row for each trial
print(raybench.tables(frame))             # in a notebook: raybench.tables(frame)
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from raybench.catalog.hardware import Hardware
    from raybench.launch.options import RunOptions
    from raybench.record.schema import TrialRecord
    from raybench.report.comparison import PrintableComparison
    from raybench.report.explanation import PrintableExplanation
    from raybench.report.tables import Tables
    from raybench.settings import Workspace
    from raybench.spec.grid import GridSpec
    from raybench.spec.trial import TrialSpec


def run(
    spec: TrialSpec | GridSpec | str | Path,
    *,
    workspace: Workspace | None = None,
    options: RunOptions | None = None,
) -> list[TrialRecord]:
    """Measure a trial or a grid, but for what is complete already, and return the records.

    A grid runs on Ray, on this machine or where ``options.address`` says; a process that is
    connected to a Ray cluster already uses that one. A single trial runs in a process of its own on
    this machine, as part of the experiment ``runs``, or with an address on Ray as well.

    An interruption (Ctrl-C) lets the running trials record how far they came; the same call then
    measures the rest.

    Args:
        spec: a trial, a grid, or the path of a grid's YAML file.
        workspace: the folders of results, datasets and decoded datasets; by default those that
            the variables ``RAYBENCH_RESULTS``, ``RAYBENCH_DATA`` and ``RAYBENCH_CACHE`` name, or
            ``./results`` and the user's own folders.
        options: how to run it: the cluster's address, timeouts.

    Returns:
        The records of the trials, in the order of the plan. A trial that went wrong has a record
        too: its ``status`` is ``failed``, and ``error`` says why. Times in a record are in seconds
        (``_s``) or milliseconds (``_ms``).

    Raises:
        SpecError: the grid's file is wrong, or a model or dataset cannot be imported.
        DataError: a dataset is absent or damaged.
        HardwareError: this machine lacks the hardware of a single trial.
        ClusterError: the cluster cannot be reached, lacks the hardware, or lost it.
        ResultsError: the results cannot be written.
        KeyboardInterrupt: it was interrupted.

    >>> import raybench
    >>> spec = raybench.TrialSpec(
    ...     model="resnet18", dataset="digits", hardware="cpu:1", image_size=32, batch_size=32,
    ...     epochs=1, train_limit=64, eval_limit=32,
    ... )
    >>> [record] = raybench.run(spec)
    >>> record.status
    'completed'
    >>> record.running_time_s == record.epochs[0].train_time_s + record.epochs[0].eval_time_s
    True
    """
    from raybench.launch.options import RunOptions  # noqa: PLC0415 - `import raybench` is quick
    from raybench.settings import workspace as default_workspace  # noqa: PLC0415
    from raybench.spec.grid import GridSpec, load_grid  # noqa: PLC0415

    folders, options = workspace or default_workspace(), options or RunOptions()
    if isinstance(spec, (str, os.PathLike)):
        spec = load_grid(Path(spec))
    if isinstance(spec, GridSpec):
        return _run_grid(spec, folders, options)
    return [_run_trial(spec, folders, options)]


def _run_grid(grid: GridSpec, workspace: Workspace, options: RunOptions) -> list[TrialRecord]:
    from raybench.launch.grid import run_grid  # noqa: PLC0415

    return run_grid(grid, workspace, options).unless_cut_short()


def _run_trial(spec: TrialSpec, workspace: Workspace, options: RunOptions) -> TrialRecord:
    from raybench.launch.grid import run_trials  # noqa: PLC0415
    from raybench.launch.local import RUNS, run_here  # noqa: PLC0415
    from raybench.record.store import Experiment  # noqa: PLC0415

    experiment = Experiment(workspace.results / RUNS)
    if options.address is None:
        return run_here(spec, experiment, workspace, options)
    [record] = run_trials([spec], experiment, workspace, options).unless_cut_short()
    return record


def load(results: Any) -> pd.DataFrame:
    """Return what was measured as a tidy frame, a row for each trial.

    Failed and interrupted trials are rows as well, and so are planned trials without a record:
    their ``status`` is ``missing``. The columns, with their units, are those of
    docs/reference/columns.md; a figure that is unknown is missing (NaN, NA or None).

    Args:
        results: an experiment's folder, a folder of experiments, a record file; records, as
            ``run`` returns them; Ray Tune's ResultGrid or ExperimentAnalysis of a grid; or a
            sequence of one of these kinds. A file that cannot be read is left out, with a warning.

    Raises:
        ResultsError: a folder does not exist, or holds nothing of raybench.
        RecordError: a result of Ray Tune holds a damaged record.

    >>> import raybench
    >>> frame = raybench.load("results/paper")
    >>> frame[["model", "hardware", "running_time_s"]].shape
    (12, 3)
    """
    from raybench.analysis import frame, trials  # noqa: PLC0415
    from raybench.record.schema import TrialRecord  # noqa: PLC0415

    several = results if isinstance(results, Sequence) and not isinstance(results, str) else None
    items: Sequence[Any] = [results] if several is None else several
    if items and all(isinstance(item, TrialRecord) for item in items):
        return frame.from_records(items)
    if not all(isinstance(item, (str, os.PathLike)) for item in items):
        return frame.from_experiment_analysis(results)
    loaded = trials.load([Path(item) for item in items])
    for problem in loaded.problems:
        warnings.warn(f"left out: {problem}", stacklevel=2)
    return frame.to_frame(loaded.trials)


def tables(
    frame: pd.DataFrame,
    names: Sequence[str] = ("running-time", "accuracy", "speedup"),
    *,
    baseline: Hardware | str | None = None,
    allow_mismatch: Collection[str] = (),
) -> Tables:
    """Return tables of what was measured; a notebook shows them, and ``print`` does.

    Args:
        frame: from ``load``.
        names: of the tables: running-time (s), accuracy, speedup (a ratio), images-per-s, and
            what else ``raybench analyze --help`` lists.
        baseline: the hardware that speedups are over, such as ``"K80"``; by default the slowest.
        allow_mismatch: fields that may differ between what is averaged or divided.

    Raises:
        SpecError: there is no such table, baseline or field.

    >>> import raybench
    >>> tables = raybench.tables(raybench.load("results/paper"), ["speedup"])
    >>> tables.to_frame()["table"].unique().tolist()
    ['speedup']
    """
    from raybench.analysis.quantities import Options  # noqa: PLC0415
    from raybench.analysis.tables import make_tables  # noqa: PLC0415
    from raybench.report.tables import Tables  # noqa: PLC0415

    options = Options(baseline=_hardware(baseline), allow_mismatch=tuple(allow_mismatch))
    return Tables(make_tables(frame, names, options))


def explain(
    frame: pd.DataFrame,
    *,
    baseline: Hardware | str | None = None,
    allow_mismatch: Collection[str] = (),
) -> list[PrintableExplanation]:
    """Say where a step's time goes, and why speedups are not higher: one for each configuration.

    ``print`` shows an explanation as text, and a notebook as HTML.

    Args:
        frame: from ``load``.
        baseline: the hardware that speedups are over; by default the slowest.
        allow_mismatch: fields that may differ between what is averaged or divided.

    Raises:
        SpecError: there is no such baseline or field.

    >>> import raybench
    >>> [explanation] = raybench.explain(raybench.load("results/paper"))
    >>> str(explanation.baseline)
    'K80'
    """
    from raybench.analysis import explain as analysis  # noqa: PLC0415
    from raybench.analysis.quantities import Options  # noqa: PLC0415
    from raybench.report.explanation import PrintableExplanation  # noqa: PLC0415

    options = Options(baseline=_hardware(baseline), allow_mismatch=tuple(allow_mismatch))
    return [PrintableExplanation(**vars(each)) for each in analysis.explain(frame, options)]


def _hardware(given: Hardware | str | None) -> Hardware | None:
    from raybench.catalog.hardware import Hardware  # noqa: PLC0415

    return Hardware.parse(given) if isinstance(given, str) else given


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    fail_below: float | None = None,
    allow_mismatch: Collection[str] = (),
) -> PrintableComparison:
    """Compare the running times of two result sets, cell by cell.

    ``print`` shows the comparison as text, and a notebook as HTML.

    Args:
        a: the frame before.
        b: the frame after.
        fail_below: limit of the ratio A over B of the running times, such as 0.95: a cell of B
            that is significantly slower is in ``too_slow``.
        allow_mismatch: fields that may differ among the repeats of a cell.

    Raises:
        SpecError: the limit is none, or a field of ``allow_mismatch`` is unknown.
        ResultsError: no cell was measured on both sides.

    >>> import raybench
    >>> frame = raybench.load("results/paper")
    >>> raybench.compare(frame, frame, fail_below=0.95).too_slow
    []
    """
    from raybench.analysis.compare import compare as compare_frames  # noqa: PLC0415
    from raybench.report.comparison import PrintableComparison  # noqa: PLC0415

    found = compare_frames(a, b, fail_below=fail_below, allow_mismatch=allow_mismatch)
    return PrintableComparison(**vars(found))
