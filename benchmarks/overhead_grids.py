"""Whole grids: what they take beyond their trials' running times, and many small trials."""

from __future__ import annotations

import functools
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overhead_training import Epochs, Resident, spec_of
from overhead_turns import HERE, Effort, Pair, noted, run_command, times_in

MODELS = ("googlenet", "resnet18")
SMALL = {"image_size": 64, "input_pipeline": "device"}
"""Small images, so that a trial of a minute has hundreds of steps on a CPU too."""


def twelve_trials(effort: Effort) -> list[Pair]:
    """Seconds of a grid's command, and its trials' running times over the devices it has.

    Of each model as many trials as ``effort.repeats``, sized by a trial epoch to take
    ``effort.trial_s`` or more each. The seconds are those of the whole command: Ray's start, each
    trial's setup, warm-up and profile, and the tables.
    """
    rates = {}
    for model in MODELS:
        epochs = Epochs(spec_of(model, effort, **SMALL))
        rates[model] = epochs.images_per_s(Resident(epochs.batches(1) * 10))
    evaluated = effort.epoch_images // 10
    images = effort.epoch_images + evaluated / 3  # an evaluation step is a third
    count = math.ceil(effort.trial_s * max(rates.values()) / images)
    fields = {
        "name": "twelve",
        "model": [*MODELS],
        "dataset": "synthetic",
        "hardware": effort.hardware,
        "repeats": effort.repeats,
        "epochs": count,
        "train_limit": effort.epoch_images,
        "eval_limit": evaluated,
        **SMALL,
    }
    with tempfile.TemporaryDirectory() as folder:
        wall_s = _grid(Path(folder), fields)
        records = _records(Path(folder) / "twelve")
    assert len(records) == len(MODELS) * effort.repeats
    running_s = math.fsum(record["running_time_s"] for record in records)
    return [(wall_s, running_s / _slots(effort))]


def _slots(effort: Effort) -> int:
    """Return how many trials this machine runs at once."""
    from raybench.launch.session import machine_resources
    from raybench.schedule.resources import resources_of, slots

    return slots(resources_of(spec_of("resnet18", effort, **SMALL)), [machine_resources()])


def many_trials(effort: Effort, *, reuse: bool) -> list[Pair]:
    """Trials a second of a large grid whose trials train one step, and of plain Tune's.

    From the end of the first trial to that of the last; plain Tune runs a part of them.

    Args:
        effort: gives the number of trials.
        reuse: whether plain Tune's workers go from trial to trial, with torch and all that a trial
            leaves behind, or are fresh ones, its default.
    """
    fewer = max(3, effort.trials // (10 if reuse else 50))
    with tempfile.TemporaryDirectory() as folder:
        command: list[str | Path] = [sys.executable, HERE / "plain_tune.py", Path(folder)]
        command += [str(fewer), "--many"]
        run_command([*command, *["--reuse"] * reuse], variables=times_in(Path(folder)))
        theirs = noted(Path(folder), "end")
    assert len(theirs) == fewer
    return [(_many_trials(effort), _rate(theirs))]


@functools.cache
def _many_trials(effort: Effort) -> float:
    fields = {
        "name": "many",
        "model": "start_model:build",
        "dataset": "synthetic",
        "hardware": "cpu:1",
        "repeats": effort.trials,
        "epochs": 1,
        "image_size": 16,
        "train_limit": 10,
        "eval_limit": 10,
        "warmup_steps": 1,
        "input_pipeline": "device",
    }
    with tempfile.TemporaryDirectory() as folder:
        _grid(Path(folder), fields)
        ends = [path.stat().st_mtime for path in (Path(folder) / "many" / "records").iterdir()]
    assert len(ends) == effort.trials
    return _rate(ends)


def _rate(ends: Sequence[float]) -> float:
    return (len(ends) - 1) / (max(ends) - min(ends))


def _grid(folder: Path, fields: dict[str, Any]) -> float:
    """Run ``raybench grid``, and return its seconds."""
    spec = folder / "grid.yaml"
    spec.write_text(json.dumps(fields))
    started = time.perf_counter()
    command: list[str | Path] = [sys.executable, "-m", "raybench", "grid", spec]
    command += ["--results", folder]
    run_command(command, variables=times_in(folder))
    return time.perf_counter() - started


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("records/*.json")]
