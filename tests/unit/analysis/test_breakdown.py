"""Where a step's time goes, and the speedups of its parts."""

from __future__ import annotations

import pytest
from records import make_record, make_step

from raybench.analysis.breakdown import Samples, StepBreakdown
from raybench.analysis.configurations import Key, configurations
from raybench.analysis.frame import from_records
from raybench.analysis.statistics import ratio_of_means
from raybench.analysis.trials import Trials
from raybench.catalog.hardware import Hardware

P100 = Key("resnet18", "mnist", Hardware("P100"))
K80 = Key("resnet18", "mnist", Hardware("K80"))


def samples(records):
    (group,) = configurations(Trials.of(from_records(records)))
    return Samples(group)


def speedup(records):
    found = samples(records)
    return found.speedup(P100, K80, {key: found.step(key) for key in (P100, K80)})


def test_the_parts_of_a_step():
    step = samples([make_step("P100", step_ms=20, compute_ms=12, data_wait=5, transfer=1)]).step(
        P100
    )
    assert step.step_ms == pytest.approx(20)
    assert step.compute_ms == pytest.approx(12)
    assert (step.data_ms, step.transfer_ms, step.preprocess_ms) == (5, 1, None)
    assert step.rest_ms == pytest.approx(2)
    assert step.overhead == pytest.approx(0.4)
    assert step.n == 1
    assert step.shares == pytest.approx(
        {"data": 0.25, "transfer": 0.05, "compute": 0.6} | {"rest": 0.1}
    )
    assert step.add_up


def test_parts_that_are_unknown_or_too_long():
    known = {"data_ms": 5.0, "transfer_ms": None, "preprocess_ms": None, "utilization": None}
    step = StepBreakdown(n=1, step_ms=20.0, compute_ms=16.1, overhead_half_width=None, **known)
    assert not step.add_up  # 1.1 ms more than the step
    unknown = StepBreakdown(
        n=1, step_ms=20.0, compute_ms=12.0, overhead_half_width=None, **{**known, "data_ms": None}
    )
    assert (unknown.input_ms, unknown.rest_ms, unknown.add_up) == (None, None, False)
    assert unknown.overhead == pytest.approx(0.4)


def test_repeats_that_disagree_on_the_overhead():
    records = [
        make_step("P100", step_ms=20, compute_ms=compute, repeat=repeat, data_wait=1)
        for repeat, compute in enumerate((6, 18, 26))
    ]
    step = samples(records).step(P100)
    assert step.overhead == pytest.approx(1 - 50 / 60)
    assert step.overhead_half_width > 0.3
    assert not step.overhead_is_clear


def test_speedups_measured_and_expected():
    found = speedup(
        [
            make_step("P100", step_ms=20, compute_ms=12, data_wait=5, transfer=1),
            make_step("K80", step_ms=50, compute_ms=43, data_wait=5, transfer=1),
        ]
    )
    assert found.training.value == pytest.approx(50 / 20)
    assert found.compute_only.value == pytest.approx(43 / 12)
    assert found.without_input.value == pytest.approx(44 / 14)
    assert found.flops == pytest.approx(9.3 / 4.37)
    assert found.bandwidth == pytest.approx(732 / 240)


def test_what_is_left_without_input_has_an_interval_of_its_own():
    records = [
        make_step(hardware, step_ms=step + extra, compute_ms=step - 7, repeat=repeat, data_wait=5)
        for hardware, step in (("P100", 20), ("K80", 50))
        for repeat, extra in enumerate((-0.2, 0.0, 0.2))
    ]
    found = speedup(records).without_input
    by_hand = ratio_of_means([44.8, 45.0, 45.2], [14.8, 15.0, 15.2])
    assert (found.value, *found.interval) == pytest.approx((by_hand.value, *by_hand.interval))


def test_a_device_without_a_datasheet_gives_no_expectation():
    unnamed = {"hardware.detected": "Tesla P100"}
    found = speedup([make_record(changes=unnamed), make_record(hardware="K80")])
    assert (found.flops, found.bandwidth) == (None, None)


def test_milliseconds_per_image_need_flops_and_a_rate():
    def per_image(**changes):
        return samples([make_record(changes=changes)]).ms_per_image(P100)

    wanted = {"images_per_s": 500.0, "model.flops_per_image": 2e9}
    assert per_image(**wanted) == (2.0, [2.0])
    assert per_image(**{**wanted, "images_per_s": 0.0}) is None
    assert per_image(**{**wanted, "model.flops_per_image": None}) is None
