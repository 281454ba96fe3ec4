from __future__ import annotations

from typing import Any

import pytest
from records import make_failed, make_record

from raybench.schedule.estimate import Estimates, total_images
from raybench.spec.trial import TrialSpec, trial_spec


def trial(**fields: Any) -> TrialSpec:
    return trial_spec({"model": "resnet18", "dataset": "mnist", "hardware": "P100", **fields})


def test_images_are_those_of_all_epochs_after_the_limits() -> None:
    assert total_images(trial()) == 10 * 70_000
    assert total_images(trial(epochs=2, train_limit=100, eval_limit=50)) == 300


def test_more_of_the_same_work_takes_as_much_longer() -> None:
    estimates = Estimates()
    assert estimates.known_s(trial()) is None
    assert estimates.learn(trial(epochs=1), 60.0)
    assert estimates.known_s(trial(epochs=10)) == pytest.approx(600.0)
    assert estimates.known_s(trial(epochs=1, repeat=3, seed=9)) == pytest.approx(60.0)
    assert estimates.known_s(trial(epochs=1, dataset="kmnist")) == pytest.approx(60.0)
    for other in ({"batch_size": 20}, {"image_size": 32}, {"hardware": "K80"}):
        assert estimates.known_s(trial(**other)) is None


def test_the_first_of_a_kind_counts() -> None:
    estimates = Estimates()
    assert estimates.learn(trial(), 100.0)
    assert not estimates.learn(trial(repeat=1), 130.0)
    assert estimates.known_s(trial()) == pytest.approx(100.0)


def test_other_models_count_by_their_flops_on_the_same_hardware() -> None:
    estimates = Estimates()
    before = estimates.rough_s(trial(model="resnet50")) / estimates.rough_s(trial())
    estimates.learn(trial(), 100.0)
    assert estimates.rough_s(trial()) == pytest.approx(100.0)
    after = estimates.rough_s(trial(model="resnet50"))
    # 24.29 and 10.65 GFLOPs, of the table.
    assert after / 100.0 == pytest.approx(before) == pytest.approx(24.29 / 10.65)
    assert estimates.rough_s(trial(image_size=112)) == pytest.approx(25.0)
    assert estimates.rough_s(trial(model="my.own:model")) == pytest.approx(100.0)


def test_complete_records_are_learnt() -> None:
    done = make_record()
    estimates = Estimates([make_failed(model="googlenet"), done])
    assert estimates.known_s(done.spec) == pytest.approx(done.running_time_s)
    assert estimates.known_s(make_failed(model="googlenet").spec) is None
