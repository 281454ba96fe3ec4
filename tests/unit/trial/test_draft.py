"""What is known becomes the record, wherever a trial ends."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from raybench.record.noted import Missing, Noted
from raybench.record.schema import ErrorFacts, Phases, TrialRecord
from raybench.record.state import TrialState
from raybench.settings import Workspace
from raybench.spec.trial import trial_spec
from raybench.trial.draft import Draft, unfinished_record
from raybench.trial.profile import profile
from raybench.trial.run import ignore
from raybench.trial.setup import prepare_machine, set_up
from raybench.trial.summary import Epochs
from raybench.trial.timing import time_epochs
from raybench.trial.warmup import warm_up

SPEC = trial_spec({
    "model": "small_models:small", "dataset": "digits", "hardware": "cpu:1", "epochs": 2,
    "batch_size": 32, "image_size": 16, "train_limit": 100, "eval_limit": 50, "warmup_steps": 1,
})  # fmt: skip
OPEN = trial_spec({**SPEC.model_dump(), "execution": "best"})

PHASES = ("machine", "setup", "warm_up", "timing", "profile")
FIGURES = {
    "machine": (),
    "setup": ("setup_time_s", "dataset"),
    "warm_up": ("warmup_time_s", "model"),
    "timing": ("running_time_s", "images_per_s", "step_ms", "memory"),
    "profile": ("phases_ms", "compute_only_images_per_s"),
}
"""What a record of a trial on a CPU holds after each phase, beside its segment."""

ERROR = ErrorFacts(kind="exception", message="ValueError: no", traceback=None)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what each phase of a real trial gave, and its epochs."""
    folder = tmp_path_factory.mktemp("draft")
    cache = tmp_path_factory.getbasetemp() / "cache"
    workspace = Workspace(results=folder, data=folder, cache=cache)
    epochs, spec = Epochs(), SPEC.resolved()
    with ExitStack() as stack:
        machine = prepare_machine(spec)
        setup = stack.enter_context(set_up(spec, workspace, machine))
        return {
            "machine": machine,
            "setup": setup,
            "warm_up": warm_up(setup),
            "timing": time_epochs(setup, epochs, ignore, [0]),
            "profile": profile(setup),
            "epochs": epochs,
        }


def draft_after(parts: dict[str, Any], phases: int, epochs: int = 0) -> Draft:
    """Return the draft of a trial that is through so many phases, or so many epochs."""
    draft = Draft(spec=SPEC, experiment="unit", started_at="2026-01-01T12:00:00+00:00")
    for name in PHASES[:phases]:
        setattr(draft, name, parts[name])
    count = epochs or 2 * (phases >= 4)
    draft.epochs.complete.extend(parts["epochs"].complete[:count])
    draft.epochs.steps_ms.extend(parts["epochs"].steps_ms[:count])
    return draft


@pytest.mark.parametrize("phases", range(len(PHASES) + 1))
def test_a_trial_that_ends_after_a_phase_keeps_what_is_known(
    parts: dict[str, Any], phases: int
) -> None:
    record = draft_after(parts, phases).failed(ERROR)
    assert (record.status, record.error) == ("failed", ERROR)
    assert record.unexplained() == []
    for number, name in enumerate(PHASES):
        for figure in FIGURES[name]:
            known = getattr(record, figure) is not None
            assert known == (number < phases), figure
            if not known:
                assert record.missing[figure] == "the trial ended before it was measured"
    assert len(record.segments) == (phases >= 1)
    if record.segments:
        (segment,) = record.segments
        assert segment.environment is not None
        assert segment.hostname == segment.environment.hostname
        assert (segment.contention is not None) == (phases >= 4)
        assert segment.last_epoch == len(record.epochs)


@pytest.mark.parametrize("phases", range(len(PHASES) + 1))
def test_a_draft_is_no_more_than_its_parts(parts: dict[str, Any], phases: int) -> None:
    """The record is a pure function of the draft, and reads back as it was written."""
    draft = draft_after(parts, phases)
    first = draft.interrupted()
    assert first.status == "interrupted"
    assert draft.interrupted() == first
    assert TrialRecord.model_validate_json(first.model_dump_json()) == first


def test_a_trial_that_is_complete_explains_every_null(parts: dict[str, Any]) -> None:
    record = draft_after(parts, len(PHASES)).completed()
    assert (record.status, record.error) == ("completed", None)
    assert record.unexplained() == []
    assert "the trial ended before it was measured" not in record.missing.values()
    assert record.missing["memory.peak_allocated_bytes"].startswith("measured on a CPU")
    assert record.missing["device_telemetry"].startswith("measured on a CPU")
    assert record.missing["segments.0.hardware.uuid"] == "a CPU has none"
    assert record.missing["autotune"] == "the spec names the execution and the batch size"


def test_epochs_before_an_interruption_are_kept(parts: dict[str, Any]) -> None:
    record = draft_after(parts, 3, epochs=1).interrupted()
    assert [epoch.epoch for epoch in record.epochs] == [1]
    assert record.segments[0].last_epoch == 1
    assert record.running_time_s is None


def test_a_reason_within_a_part_stands_under_its_name(parts: dict[str, Any]) -> None:
    draft = draft_after(parts, len(PHASES))
    phases = parts["profile"].phases_ms.part
    captured = Noted(
        Phases.model_validate({**phases.model_dump(), "forward": None}),
        {"forward": "the captured step runs as one"},
    )
    draft.profile = type(parts["profile"])(phases_ms=captured, compute_only_images_per_s=1.0)
    assert draft.completed().missing["phases_ms.forward"] == "the captured step runs as one"
    draft.profile = type(parts["profile"])(
        phases_ms=Missing("an epoch of one step"), compute_only_images_per_s=1.0
    )
    assert draft.completed().missing["phases_ms"] == "an epoch of one step"


def test_an_autotune_that_found_nothing_is_not_one_that_was_not_needed() -> None:
    record = Draft(spec=OPEN, experiment="unit").failed(ERROR)
    assert record.missing["autotune"] == "the trial ended before it was measured"


def test_a_killed_trial_keeps_the_epochs_that_it_told_of(parts: dict[str, Any]) -> None:
    epochs = tuple(parts["epochs"].complete)
    state = TrialState(phase="training", epochs=epochs, started_at="2026-01-01T12:00:00+00:00")
    record = unfinished_record(SPEC, "unit", state, ERROR)
    assert (record.status, record.epochs, record.started_at) == (
        "failed",
        epochs,
        state.started_at,
    )
    assert record.missing["memory"] == "the trial's process ended before it could record this"
    assert record.unexplained() == []
