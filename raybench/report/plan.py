"""A plan as text, and as a document for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from raybench.errors import count
from raybench.schedule.plan import Plan
from raybench.schedule.resources import NODE, resources_of
from raybench.schedule.time_left import duration
from raybench.spec.trial import TrialSpec

_ALWAYS_SHOWN = ("model", "dataset", "hardware", "repeat", "epochs", "batch_size", "image_size")
_FOLLOW = ("aux_loss_weight", "num_workers")
"""Fields whose defaults follow from model and hardware."""


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON holds it: ``experiment``, ``trials`` and ``lacks``."""
    rows = [
        {
            "trial_id": trial.trial_id,
            "complete": trial.trial_id in plan.complete,
            "resources": resources_of(trial),
            "expected_running_time_s": plan.expected_s.get(trial.trial_id),
            "spec": trial.model_dump(mode="json"),
        }
        for trial in plan.trials
    ]
    return {"experiment": plan.experiment, "trials": rows, "lacks": plan.lacks}


def plan_text(plan: Plan) -> str:
    """Return a plan as a table of its trials, followed by what they need."""
    due = plan.due
    lines = [_table(plan), "", f"{count(len(plan.trials), 'trial')}, {len(due)} of them to run"]
    for what, number in _needs(due).items():
        lines.append(f"  {number} {'needs' if number == 1 else 'need'} {what} on one node")
    if due:
        lines.append(f"  expected: {_expected(plan)}")
        lines.append(plan.lacks or f"{plan.where} can run all of it")
    else:
        lines.append("nothing is left to run")
    return "\n".join(lines)


def _table(plan: Plan) -> str:
    varying = _varying(plan.trials)
    names = ("#", "model", "dataset", "hardware", "repeat", "epochs", "batch", "pixels")
    rows: list[list[str]] = [[*names, *varying, "state"]]
    for number, trial in enumerate(plan.trials, 1):
        expected_s = plan.expected_s.get(trial.trial_id)
        state = "complete" if trial.trial_id in plan.complete else "to run"
        if expected_s is not None:
            state += f", about {duration(expected_s)}"
        size = f"{trial.image_size}×{trial.image_size}"
        cells = (number, trial.model, trial.dataset, trial.hardware, trial.repeat, trial.epochs)
        others = (str(getattr(trial, name)) for name in varying)
        rows.append([*map(str, cells), str(trial.batch_size), size, *others, state])
    # By hand: any library for it takes longer to import than the plan takes.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (zip(row, widths, strict=True) for row in rows)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in line) for line in lines)


def _expected(plan: Plan) -> str:
    if not plan.expected_s:
        return "not known before a trial of the same kind was measured"
    unknown = len(plan.due) - len(plan.expected_s)
    rest = f" (for {count(unknown, 'trial')} nothing comparable was measured yet)"
    return (
        f"{duration(sum(plan.expected_s.values()))} of running time in all, "
        f"less where several run at once{rest if unknown else ''}"
    )


def _varying(trials: Sequence[TrialSpec]) -> list[str]:
    """Return the fields that tell trials of a plan apart and have no column of their own."""
    names = (n for n in TrialSpec.model_fields if n not in (*_ALWAYS_SHOWN, *_FOLLOW))
    return [name for name in names if len({getattr(trial, name) for trial in trials}) > 1]


def _needs(due: Sequence[TrialSpec]) -> Counter[str]:
    def text(trial: TrialSpec) -> str:
        parts = [f"{k} {v:g}" for k, v in resources_of(trial).items() if k != NODE]
        return ", ".join(parts) + (", the node for itself" * (trial.isolation == "node"))

    return Counter(text(trial) for trial in due)
