"""Two result sets: what changed, and whether it fails a gate."""

from __future__ import annotations

import random

import pytest
from records import make_failed, make_record

from raybench.analysis.compare import compare
from raybench.analysis.frame import from_records
from raybench.errors import ResultsError, SpecError

CELLS = [(model, hardware) for model in ("googlenet", "resnet18") for hardware in ("K80", "P100")]


def results(repeats=4, slowdown=1.0, only=None, first_seed=0, **changes):
    """Make repeats of four cells, of which those of ``only`` are slowed down."""
    return [
        make_record(
            model,
            hardware=hardware,
            repeat=repeat,
            seed=first_seed,
            slowdown=slowdown if only in (None, (model, hardware)) else 1.0,
            changes=changes,
        )
        for model, hardware in CELLS
        for repeat in range(repeats)
    ]


def title(change):
    return " · ".join(filter(None, (str(change.key), change.configuration)))


def compared(a, b, **options):
    return compare(from_records(a), from_records(b), **options)


def test_the_same_again_is_not_distinguishable():
    found = compared(results(), results(first_seed=7), fail_below=0.95)
    assert [change.verdict for change in found.changes] == ["not distinguishable"] * 4
    assert found.differences == ()
    assert found.too_slow == []


def test_trials_that_are_on_both_sides_are_counted():
    before, after = results(2), results(2, first_seed=7)
    assert compared(before, after).shared_trials == 0
    mixed = compared(before, [*before[:3], *after[3:]])
    assert mixed.shared_trials == 3


def test_a_slowdown_of_one_cell_is_found_in_that_cell():
    cell = ("resnet18", "P100")
    found = compared(results(), results(slowdown=1.2, only=cell, first_seed=7), fail_below=0.95)
    slower = [change for change in found.changes if change.verdict == "slower"]
    assert [(c.key.model, c.key.hardware.label) for c in slower] == [cell]
    assert slower[0].ratio.value == pytest.approx(1 / 1.2, rel=0.03)
    assert found.too_slow == slower


def test_b_over_a_is_above_1_where_b_is_faster():
    found = compared(results(), results(slowdown=0.5, first_seed=7))
    assert {change.verdict for change in found.changes} == {"faster"}
    assert all(change.ratio.value == pytest.approx(2, rel=0.05) for change in found.changes)


def test_a_slowdown_within_the_limit_does_not_fail():
    found = compared(results(), results(slowdown=1.04, first_seed=7), fail_below=0.9)
    assert any(change.verdict == "slower" for change in found.changes)
    assert found.too_slow == []


def test_single_runs_never_fail():
    found = compared(results(1), results(1, slowdown=3), fail_below=0.95)
    assert all(change.ratio.value < 0.4 for change in found.changes)
    assert {change.verdict for change in found.changes} == {None}
    assert found.too_slow == []


def test_noise_fails_a_gate_seldom():
    # Twenty comparisons of equal sides with 5 % of noise, four cells each, and a limit at 1.
    frame, rng = from_records(results(5)), random.Random(7)

    def night():
        times = [time * rng.lognormvariate(0, 0.05) for time in frame["running_time_s"]]
        return frame.assign(running_time_s=times)

    failures = sum(bool(compare(night(), night(), fail_below=1.0).too_slow) for _ in range(20))
    assert failures <= 4  # of a binomial of 20 at 5 %, 99.7 % lie there


def test_differences_of_software_and_hardware_are_listed():
    changed = {
        "environment.torch": "2.15.0",
        "environment.driver": "590.1",
        "hardware.detected": "Tesla P100-SXM2-16GB",
    }
    found = compared(results(), results(**changed))
    listed = {d.field: (d.a, d.b) for d in found.differences}
    assert listed["torch"] == (("2.0.1+cu117",), ("2.15.0",))
    assert listed["driver"] == (("470.57",), ("590.1",))
    assert listed["device"][1] == ("Tesla P100-SXM2-16GB",)
    assert all(change.ratio for change in found.changes)


def test_only_the_same_workload_is_compared():
    a = [make_record(batch_size=10), make_record(batch_size=50), make_record("googlenet")]
    b = [make_record(batch_size=10), make_record(batch_size=25), make_failed("googlenet")]
    found = compared(a, b)
    assert {title(change): change.problem for change in found.changes} == {
        "googlenet · mnist · P100": "failed in B",
        "resnet18 · mnist · P100 · batch_size 10": "",
        "resnet18 · mnist · P100 · batch_size 25": "not in A",
        "resnet18 · mnist · P100 · batch_size 50": "not in B",
    }


def test_unlike_trials_within_a_side_are_not_pooled():
    mixed = [make_record(repeat=0), make_record(repeat=1, changes={"environment.torch": "2.15"})]
    other = [make_record("googlenet")]
    found = compared([*mixed, *other], [make_record(), *other])
    (problem,) = [change.problem for change in found.changes if change.problem]
    assert problem == "A holds unlike trials: torch 2.0.1+cu117; torch 2.15"
    pooled = compared([*mixed, *other], [make_record(), *other], allow_mismatch=["torch"])
    assert all(change.ratio for change in pooled.changes)


def test_other_data_are_not_compared_without_leave():
    other = {"dataset.fingerprint": "other"}
    with pytest.raises(ResultsError, match="the data differ"):
        compared(results(), results(**other))
    found = compared(results(), results(**other), allow_mismatch=["dataset_fingerprint"])
    assert all(change.ratio for change in found.changes)


def test_nothing_in_common_is_refused_with_what_there_is():
    with pytest.raises(ResultsError, match="resnet18 · mnist · P100: not in B"):
        compared([make_record()], [make_record(dataset="cifar10")])
    with pytest.raises(SpecError, match="unknown field 'x'"):
        compared(results(), results(), allow_mismatch=["x"])


@pytest.mark.parametrize("limit", [0, -1, 1.5, float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(SpecError, match="fail_below is"):
        compared(results(1), results(1), fail_below=limit)
