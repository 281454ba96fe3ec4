"""What is found of speedups, and where nothing is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import make_failed, make_grid, make_record, make_step

from raybench.analysis.configurations import Key
from raybench.analysis.explain import explain, time_over_flops
from raybench.analysis.findings import (
    DatasheetExpectation,
    LighterModel,
    StepShare,
    TimeOverFlops,
    WithoutInput,
    WithoutOverhead,
)
from raybench.analysis.frame import from_records
from raybench.analysis.quantities import Options
from raybench.catalog.hardware import Hardware
from raybench.errors import SpecError

P100 = Key("resnet18", "mnist", Hardware("P100"))
K80 = Key("resnet18", "mnist", Hardware("K80"))
TWO = [
    make_step("P100", step_ms=20, compute_ms=12, data_wait=5, transfer=1),
    make_step("K80", step_ms=50, compute_ms=43, data_wait=5, transfer=1),
]


def explained(records, **options):
    (found,) = explain(from_records(records), Options(**options))
    return found


def of_kind(kind, records):
    return [found for found in explained(records).findings if type(found) is kind]


def test_a_cell_has_its_findings_with_their_figures():
    found = explained(TWO)
    share, left, overhead, datasheets = found.findings
    assert {each.cell for each in found.findings} == {P100} == set(found.speedups)
    assert isinstance(share, StepShare)
    assert (share.step, share.baseline_step) == (found.steps[P100], found.steps[K80])
    assert share.baseline_overhead == pytest.approx(0.14)
    assert share.conclusion == "overhead"
    assert isinstance(left, WithoutInput)
    assert left.without_input.value == pytest.approx(44 / 14)
    assert isinstance(overhead, WithoutOverhead)
    assert overhead.compute_only.value == pytest.approx(43 / 12)
    assert isinstance(datasheets, DatasheetExpectation)
    assert datasheets.known == pytest.approx([9.3 / 4.37, 732 / 240])


def test_a_step_without_overhead_is_not_set_beside_one_without_input():
    records = [
        make_step("P100", step_ms=20, compute_ms=19.8, data_wait=0.1),
        make_step("K80", step_ms=50, compute_ms=49, data_wait=0.1),
    ]
    kinds = [type(found) for found in explained(records).findings]
    assert kinds == [StepShare, WithoutOverhead, DatasheetExpectation]


def test_repeats_that_disagree_on_the_overhead_support_no_speedup_without_input():
    records = [
        make_step(hardware, step_ms=step, compute_ms=compute, repeat=repeat, data_wait=1)
        for hardware, step in (("P100", 20), ("K80", 50))
        for repeat, compute in enumerate((0.3 * step, 0.9 * step, 1.3 * step))
    ]
    found = explained(records)
    assert found.speedups[P100].without_input is None
    (share,) = [each for each in found.findings if isinstance(each, StepShare)]
    assert (share.conclusion, share.baseline_overhead) == ("unclear", None)


def test_phases_that_do_not_fit_into_a_step_say_nothing_of_its_parts():
    records = [make_step("P100", step_ms=20, compute_ms=12, data_wait=15), TWO[1]]
    found = explained(records)
    assert not found.findings[0].step.add_up
    assert found.speedups[P100].without_input is None
    assert of_kind(WithoutInput, records) == []


def test_unknown_figures_take_their_findings_with_them():
    found = explained([make_step("P100", step_ms=20, compute_ms=None), TWO[1]])
    assert found.speedups[P100].compute_only is None
    assert found.findings == ()


def test_the_lightest_model_is_set_beside_the_heaviest():
    records = [
        record.model_copy(update={"running_time_s": time * (1 + repeat / 100)})
        for model, times in (("resnet18", (20, 45)), ("googlenet", (40, 100)))
        for repeat in range(4)
        for record, time in (
            (make_step(hardware, model=model, step_ms=t, compute_ms=t, repeat=repeat), t)
            for hardware, t in zip(("P100", "K80"), times, strict=True)
        )
    ]
    (found,) = of_kind(LighterModel, records)
    assert (found.light, found.heavy) == (P100, P100._replace(model="googlenet"))
    assert found.light_speedup.running_time.value == pytest.approx(2.25)
    assert found.heavy_speedup.running_time.value == pytest.approx(2.5)
    assert found.verdict == "slower"
    (single,) = of_kind(LighterModel, [r for r in records if r.spec.repeat == 0])
    assert single.verdict is None
    assert of_kind(LighterModel, [r for r in records if r.spec.model == "resnet18"]) == []


GFLOPS = {"resnet18": 10.0, "googlenet": 16.0, "resnet50": 24.0, "vgg11": 46.0}


def line(models, repeats=3, *, off=(0.0,) * 4, intercept=0.5, slope=0.2, spread=0.01):
    """Fit repeats of models whose images take a time that grows with FLOPs.

    ``off`` is what each model is off the line, ``spread`` is between one repeat and the next.
    """
    deviations = [spread * (repeat - (repeats - 1) / 2) for repeat in range(repeats)]
    (found,) = time_over_flops(
        {
            P100._replace(model=model): (
                GFLOPS[model],
                [intercept + slope * GFLOPS[model] + away + each for each in deviations],
            )
            for model, away in zip(models, off, strict=False)
        }
    )
    return found


def test_two_models_lie_on_a_line_within_what_their_repeats_spread():
    found = line(["resnet18", "googlenet"])
    # By hand, of six points: standard errors 0.018156 and 0.0013608
    t = 2.7764451051977987  # 97.5 % quantile of Student's t with 4 degrees of freedom
    assert (found.dataset, found.hardware, found.models) == ("mnist", Hardware("P100"), 2)
    assert (found.intercept, found.slope) == pytest.approx((0.5, 0.2))
    assert found.intercept_half_width / t == pytest.approx(0.018156, rel=1e-3)
    assert found.slope_half_width / t == pytest.approx(0.0013608, rel=1e-3)


def test_repeats_of_a_model_do_not_show_that_models_lie_on_a_line():
    # By hand, of the four means: standard errors 0.26755 and 0.0096923
    t = 4.302652729911275  # 97.5 % quantile of Student's t with 2 degrees of freedom
    for repeats in (2, 20):
        found = line(GFLOPS, repeats, off=(0.2, -0.3, 0.1, 0.0))
        assert found.intercept_half_width / t == pytest.approx(0.26755, rel=1e-3)
        assert found.slope_half_width / t == pytest.approx(0.0096923, rel=1e-3)


def test_two_runs_give_a_line_without_an_interval_and_one_model_none():
    found = line(["resnet18", "googlenet"], repeats=1)
    assert (found.intercept_half_width, found.slope_half_width) == (None, None)
    assert time_over_flops({P100: (10.0, [2.5, 2.6])}) == []
    assert time_over_flops({P100: (10.0, [2.5]), K80: (16.0, [2.6])}) == []


@given(
    st.floats(0.1, 10), st.floats(0.01, 10), st.sets(st.sampled_from(sorted(GFLOPS)), min_size=2)
)
def test_models_on_a_line_give_the_line_back(intercept, slope, models):
    found = line(models, 2, intercept=intercept, slope=slope, spread=0.0)
    assert found.slope == pytest.approx(slope, abs=1e-6)
    assert found.intercept == pytest.approx(intercept, abs=1e-5)


def test_the_lines_of_a_result_set_are_found():
    records = [
        make_record(
            m, changes={"images_per_s": 1000 / ms, "model.flops_per_image": 1e9 * GFLOPS[m]}
        )
        for m, ms in (("resnet18", 2.5), ("googlenet", 3.7))
    ]
    (found,) = of_kind(TimeOverFlops, records)
    assert (found.intercept, found.slope) == pytest.approx((0.5, 0.2))


def test_unlike_results_are_not_explained_by_one_another():
    records = [make_record(), make_record(hardware="K80", changes={"environment.torch": "2.15"})]
    found = explained(records)
    assert found.speedups == {}
    assert found.findings == ()
    assert found.notes
    assert explained(records, allow_mismatch=["torch"]).speedups.keys() == {P100}


def test_baseline_and_configurations():
    assert K80 in explained(make_grid(1), baseline=Hardware("P100")).speedups
    with pytest.raises(SpecError, match="no results on the baseline"):
        explained(make_grid(1), baseline=Hardware("A100"))
    found = explain(from_records([make_record(batch_size=size) for size in (10, 50)]))
    assert [each.configuration for each in found] == ["batch_size 10", "batch_size 50"]


def test_a_failed_trial_has_no_step():
    assert set(explained([make_record(), make_failed(hardware="K80")]).steps) == {P100}
