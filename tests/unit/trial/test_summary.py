from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import make_record

from raybench.errors import TrialFailed
from raybench.record.schema import TrialRecord
from raybench.trial.summary import above_chance, check_plausible


def sound() -> TrialRecord:
    return make_record()


def changed(**parts: dict[str, Any]) -> TrialRecord:
    record = sound()
    updates = {
        name: getattr(record, name).model_copy(update=change) for name, change in parts.items()
    }
    return record.model_copy(update=updates)


def test_a_sound_record_passes() -> None:
    assert check_plausible(sound()) == sound()


@pytest.mark.parametrize(
    ("record", "fragment"),
    [
        (changed(dataset={"train_images": 7}), "saw"),
        (changed(step_ms={"count": 1}), "steps were timed"),
        (sound().model_copy(update={"epochs": sound().epochs[:-1]}), "epochs of"),
        (sound().model_copy(update={"epochs": ()}), "add up to"),
        (sound().model_copy(update={"running_time_s": 1.0}), "add up to"),
        (sound().model_copy(update={"mfu": 1.2}), "1.20 times the peak"),
    ],
)
def test_what_cannot_be_true_fails_by_name(record: TrialRecord, fragment: str) -> None:
    with pytest.raises(TrialFailed, match=fragment) as caught:
        check_plausible(record)
    assert caught.value.kind == "impossible"


def test_learning_is_more_than_luck() -> None:
    assert not above_chance(0.10, 0.10, 10_000)
    assert not above_chance(0.105, 0.10, 1_000)
    assert above_chance(0.13, 0.10, 10_000)


@given(st.floats(0.01, 1), st.integers(1, 10_000))
def test_naming_the_most_frequent_class_is_never_learning(chance: float, images: int) -> None:
    assert not above_chance(chance, chance, images)
