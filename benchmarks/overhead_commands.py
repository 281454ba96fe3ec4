"""Commands as a user gives them: how long they take, and how long from trial to trial."""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from overhead_turns import HERE, Effort, Pair, noted, run_command, times_in


@functools.cache
def trial_start(effort: Effort) -> list[Pair]:
    """Seconds from the end of a trial to the first step of the next: a grid's, and plain Tune's.

    Both train the model of ``start_model.py`` one after the other; the starts of two runs of
    each are paired in their order.
    """
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(2):
        ours += _gaps(_grid_times, effort.starts // 2)
        theirs += _gaps(_plain_times, effort.starts // 2)
    return list(zip(ours, theirs, strict=True))


def _gaps(run: Callable[[Path, int], tuple[list[float], list[float]]], gaps: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        starts, ends = run(Path(folder), gaps + 1)
    return [start - end for end, start in zip(sorted(ends), sorted(starts)[1:], strict=False)]


def _grid_times(folder: Path, trials: int) -> tuple[list[float], list[float]]:
    """Run trials with ``raybench grid``; a trial ends when its record is written."""
    grid = folder / "start.yaml"
    grid.write_text(
        "model: start_model:build\ndataset: synthetic\nhardware: cpu:1\nisolation: node\n"
        f"image_size: 16\nepochs: 1\ntrain_limit: 20\neval_limit: 10\nrepeats: {trials}\n"
    )
    run_command(
        [sys.executable, "-m", "raybench", "grid", grid, "--results", folder],
        variables=times_in(folder),
    )
    records = folder.glob("start/records/*.json")
    return noted(folder, "start"), [record.stat().st_mtime for record in records]


def _plain_times(folder: Path, trials: int) -> tuple[list[float], list[float]]:
    """Run trials as a plain Tune function, which notes its end itself."""
    run_command(
        [sys.executable, HERE / "plain_tune.py", folder, str(trials)],
        variables=times_in(folder),
    )
    return noted(folder, "start"), noted(folder, "end")


def help_s(effort: Effort) -> list[Pair]:
    """Seconds of ``raybench --help``."""
    return _command_s(effort, "--help")


def plan_s(effort: Effort) -> list[Pair]:
    """Seconds of ``raybench plan`` for the paper's grid."""
    return _command_s(effort, "plan", HERE.parent / "experiments" / "paper.yaml", expected=(0, 1))


def analyze_s(effort: Effort) -> list[Pair]:
    """Seconds of ``raybench analyze`` for twelve records."""
    with _twelve_records() as folder:
        return _command_s(effort, "analyze", folder)


def _command_s(
    effort: Effort, *arguments: str | Path, expected: Sequence[int] = (0,)
) -> list[Pair]:
    command = [sys.executable, "-m", "raybench", *arguments]
    found: list[Pair] = []
    for _ in range(effort.pairs + 1):
        started = time.perf_counter()
        run_command(command, expected)
        found.append((time.perf_counter() - started, None))
    return found[1:]  # the first one reads the files from the disk


@contextmanager
def _twelve_records() -> Iterator[Path]:
    """Write records of the paper's twelve trials, with made-up figures."""
    from raybench.record.schema import Epoch, TrialRecord
    from raybench.record.store import Experiment, utc_now
    from raybench.spec.grid import load_grid

    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(Path(folder, "paper"))
        for number, spec in enumerate(load_grid(HERE.parent / "experiments" / "paper.yaml").plan()):
            epoch_s = 100.0 + number
            epochs = tuple(
                Epoch(
                    epoch=epoch,
                    train_time_s=epoch_s,
                    eval_time_s=10.0,
                    train_images=60_000,
                    eval_images=10_000,
                    train_loss=1 / epoch,
                    eval_loss=1 / epoch,
                    accuracy=1 - 1 / (epoch + 1),
                )
                for epoch in range(1, spec.epochs + 1)
            )
            record = TrialRecord(
                trial_id=spec.trial_id,
                experiment=experiment.name,
                started_at=utc_now(),
                spec=spec,
                status="completed",
                running_time_s=spec.epochs * (epoch_s + 10.0),
                images_per_s=60_000 / epoch_s,
                epochs=epochs,
            )
            experiment.write(record.with_reason("made up, to time the analysis"))
        yield experiment.folder
