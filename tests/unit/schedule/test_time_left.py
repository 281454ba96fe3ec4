from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.record.state import TrialState
from raybench.schedule.estimate import total_images
from raybench.schedule.time_left import TimeLeft, duration
from raybench.spec.grid import grid_spec
from raybench.spec.trial import TrialSpec


def trials(count: int) -> list[TrialSpec]:
    """Trials of 1000 images each."""
    fields = {"train_limit": 900, "eval_limit": 100, "epochs": 1}
    grid = {"model": "resnet18", "dataset": "mnist", "hardware": "cpu:1", "repeats": count}
    return grid_spec({**grid, **fields}).plan()


def states(plan: list[TrialSpec], *images: int, ended: int = 0) -> dict[str, TrialState]:
    """The first trials of a plan, so many images on; the first ``ended`` of them are over."""
    return {
        trial.trial_id: TrialState(phase="completed" if i < ended else "training", images=done)
        for i, (trial, done) in enumerate(zip(plan, images, strict=False))
    }


def test_nothing_is_known_before_images_are_done() -> None:
    plan = trials(2)
    left = TimeLeft(plan)
    left.note(states(plan, 0), {}, 0.0)
    assert left.of_trial_s(plan[0].trial_id, 1.0) is None
    assert left.of_all_s(1.0) is None


def test_setup_and_warm_up_of_the_trials_to_come_count() -> None:
    plan = trials(3)
    left = TimeLeft(plan)
    left.note(states(plan, 0), {}, 0.0)
    left.note(states(plan, 100), {}, 30.0)  # 30 s of setup and warm-up
    left.note(states(plan, 200), {}, 40.0)  # 10 images a second
    assert left.of_trial_s(plan[0].trial_id, 40.0) == pytest.approx(80)
    assert left.of_trial_s(plan[1].trial_id, 40.0) == pytest.approx(30 + 100)
    assert left.of_all_s(40.0) == pytest.approx(80 + 2 * 130)


def test_what_follows_the_last_epoch_counts() -> None:
    plan = trials(2)
    left = TimeLeft(plan)
    left.note(states(plan, 100), {}, 0.0)
    left.note(states(plan, 1000), {}, 90.0)
    left.note(states(plan, 1000, ended=1), {}, 110.0)
    assert left.of_trial_s(plan[0].trial_id, 110.0) == 0.0
    assert left.of_all_s(110.0) == pytest.approx(100 + 20)


def test_trials_at_once_share_what_is_left_but_not_the_longest_of_them() -> None:
    plan = trials(2)
    left = TimeLeft(plan)
    left.note(states(plan, 100, 100), {}, 0.0)
    left.note(states(plan, 500, 110), {}, 10.0)  # 40 and 1 images a second
    slow = left.of_trial_s(plan[1].trial_id, 10.0)
    assert slow == pytest.approx(890)
    assert left.of_all_s(10.0) == pytest.approx(slow)


def test_the_rate_of_the_last_seconds_counts_before_the_mean() -> None:
    plan = trials(1)
    left = TimeLeft(plan)
    left.note(states(plan, 0), {}, 0.0)
    left.note(states(plan, 100), {plan[0].trial_id: 50.0}, 10.0)
    assert left.of_trial_s(plan[0].trial_id, 10.0) == pytest.approx(900 / 50)


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=6),
    st.lists(st.floats(0.1, 1e4), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_all_together_take_never_less_than_one_of_them(
    images: list[int], steps_s: list[float], ended: int
) -> None:
    plan = trials(6)
    left, now_s = TimeLeft(plan), 0.0
    for part, step_s in enumerate(steps_s, 1):
        now_s += step_s
        done = [part * value // len(steps_s) for value in images]
        left.note(states(plan, *done, ended=ended), {}, now_s)
    each_s = [left.of_trial_s(trial.trial_id, now_s) for trial in plan]
    all_s = left.of_all_s(now_s)
    if all_s is not None:
        assert all_s >= max(time_s or 0.0 for time_s in each_s)
        assert all(time_s is not None and time_s >= 0 for time_s in each_s)


def test_the_trials_are_as_long_as_these_tests_say() -> None:
    assert total_images(trials(1)[0]) == 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
