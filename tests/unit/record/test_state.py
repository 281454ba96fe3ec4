from __future__ import annotations

from functools import reduce

from records import make_failed, make_record

from raybench.record.state import ENDED, EpochDone, PhaseStarted, TrialEnded, TrialState

START = TrialState(phase="starting", node="c0001", started_at="2026-01-01T00:00:00+00:00")


def test_events_add_up_to_how_far_a_trial_is() -> None:
    record = make_record(epochs=2)
    events = [
        PhaseStarted("setup"),
        PhaseStarted("training"),
        *(EpochDone(epoch) for epoch in record.epochs),
        PhaseStarted("profiling"),
    ]
    state = reduce(TrialState.after, events, START)
    assert (state.phase, state.epochs, state.message) == ("profiling", record.epochs, "")
    assert (state.node, state.started_at) == (START.node, START.started_at)
    ended = state.after(TrialEnded(record))
    assert (ended.phase, ended.epochs) == ("completed", record.epochs)
    assert ended.phase in ENDED


def test_a_trial_that_went_wrong_says_so_in_a_line() -> None:
    ended = START.after(TrialEnded(make_failed(message="out of memory\nhint:    less")))
    assert (ended.phase, ended.message) == ("failed", "out of memory")
