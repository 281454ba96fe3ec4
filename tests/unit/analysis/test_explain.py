"""Every sentence of explain is one that its numbers support."""

from __future__ import annotations

import json
import math

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from records import make_failed, make_grid, make_record, write_records
from typer.testing import CliRunner

from raybench.analysis import explain as room
from raybench.analysis.configurations import Key
from raybench.analysis.frame import from_records
from raybench.analysis.statistics import line_through, ratio_of_means
from raybench.analysis.tables import Options
from raybench.catalog.hardware import Hardware
from raybench.cli.explain import explain
from raybench.errors import SpecError
from raybench.report.findings import explanation_document, render_explanation
from raybench.report.text import as_json

P100 = Key("resnet18", "mnist", Hardware("P100"))
K80 = Key("resnet18", "mnist", Hardware("K80"))


def explained(records, **options):
    (found,) = room.explain(from_records(records), Options(**options))
    return found


def trial(hardware, *, step_ms, compute_ms, model="resnet18", repeat=0, **phases_ms):
    """Make a record whose step goes where it is told; batch 10."""
    names = ("data_wait", "transfer", "preprocess", "forward", "backward", "optimizer")
    phases = {
        name: {"p25": phases_ms[name], "p50": phases_ms[name], "p75": phases_ms[name]}
        if name in phases_ms
        else None
        for name in names
    }
    changes = {
        "images_per_s": 10_000 / step_ms,
        "compute_only_images_per_s": 10_000 / compute_ms if compute_ms else None,
        "phases_ms": phases if phases_ms else None,
    }
    return make_record(model, hardware=hardware, repeat=repeat, noise=0, changes=changes)


def test_the_parts_of_a_step():
    found = explained([trial("P100", step_ms=20, compute_ms=12, data_wait=5, transfer=1)])
    parts = found.parts[P100]
    assert parts.step_ms == pytest.approx(20)
    assert parts.compute_ms == pytest.approx(12)
    assert (parts.data_ms, parts.transfer_ms, parts.preprocess_ms) == (5, 1, None)
    assert parts.rest_ms == pytest.approx(2)
    assert parts.overhead == pytest.approx(0.4)
    assert parts.n == 1


def test_speedups_measured_and_expected():
    records = [
        trial("P100", step_ms=20, compute_ms=12, data_wait=5, transfer=1),
        trial("K80", step_ms=50, compute_ms=43, data_wait=5, transfer=1),
    ]
    found = explained(records)
    gain = found.gains[P100]
    assert gain.training.value == pytest.approx(50 / 20)
    assert gain.compute_only.value == pytest.approx(43 / 12)
    assert gain.without_input.value == pytest.approx(44 / 14)
    assert gain.flops == pytest.approx(9.3 / 4.37)
    assert gain.bandwidth == pytest.approx(732 / 240)
    said = found.sentences["ResNet-18 on MNIST, P100 over K80"]
    assert said == (
        "40% of a step on P100 (20 ms) is not compute: waiting for data 25%, transfer 5%, "
        "launch gaps and the host 10%. On K80 (50 ms) 14% is not",
        "without input on either side, training would be 3.14 times as fast instead of 2.50",
        "overhead lowers the speedup (single runs): 3.58 for compute alone, 2.50 for training",
        "datasheets lead one to expect 2.13 by peak FLOPs and 3.05 by memory bandwidth; "
        "compute alone, 3.58, is above both",
    )


def test_a_step_without_overhead_has_no_sentence_of_overhead():
    records = [
        trial("P100", step_ms=20, compute_ms=19.8, data_wait=0.1),
        trial("K80", step_ms=50, compute_ms=49, data_wait=0.1),
    ]
    said = explained(records).sentences["ResNet-18 on MNIST, P100 over K80"]
    assert said[0] == "99% of a step on P100 (20 ms) is compute, on K80 (50 ms) 98%"
    assert said[1].startswith("overhead hardly changes the speedup")
    assert not any("without input" in sentence for sentence in said)


def test_a_step_shorter_than_its_compute_is_not_split():
    records = [
        trial("P100", step_ms=20, compute_ms=25, data_wait=1),
        trial("K80", step_ms=50, compute_ms=49, data_wait=1),
    ]
    said = explained(records).sentences["ResNet-18 on MNIST, P100 over K80"]
    assert "no part of it can be called overhead" in said[0]
    assert not any("without input" in sentence for sentence in said)


def test_repeats_that_disagree_on_the_overhead_support_no_sentence_on_it():
    records = [
        trial(hardware, step_ms=step, compute_ms=compute, repeat=repeat, data_wait=1)
        for hardware, step in (("P100", 20), ("K80", 50))
        for repeat, compute in enumerate((0.3 * step, 0.9 * step, 1.3 * step))
    ]
    found = explained(records)
    assert not found.parts[P100].overhead_is_clear
    assert found.gains[P100].without_input is None
    said = found.sentences["ResNet-18 on MNIST, P100 over K80"]
    assert "what part of a step on P100 (20 ms) is compute cannot be told" in said[0]
    assert "cannot be told from that" in said[-1]


def test_wide_intervals_do_not_show_that_overhead_hardly_matters():
    records = [
        trial(hardware, step_ms=step * scale, compute_ms=step * scale, repeat=repeat, data_wait=0)
        for hardware, step in (("P100", 20), ("K80", 50))
        for repeat, scale in enumerate((0.7, 1.0, 1.4))
    ]
    said = explained(records).sentences["ResNet-18 on MNIST, P100 over K80"]
    assert any("cannot be told from these repeats: 2.50 [" in sentence for sentence in said)
    assert not any("hardly" in sentence for sentence in said)


def test_on_a_processor_there_are_no_launch_gaps():
    records = [
        trial("cpu:2", step_ms=20, compute_ms=12, data_wait=1),
        trial("cpu:1", step_ms=50, compute_ms=45, data_wait=1),
    ]
    said = explained(records).sentences["ResNet-18 on MNIST, cpu:2 over cpu:1"]
    assert said[0].startswith("40% of a step on cpu:2 (20 ms) is not compute: waiting for data 5%")
    assert "the rest 35%" in said[0]


def test_phases_that_do_not_fit_into_a_step_say_nothing_of_its_parts():
    records = [
        trial("P100", step_ms=20, compute_ms=12, data_wait=15),
        trial("K80", step_ms=50, compute_ms=43, data_wait=5),
    ]
    found = explained(records)
    said = found.sentences["ResNet-18 on MNIST, P100 over K80"]
    assert "they do not say which part" in said[0]
    assert found.gains[P100].without_input is None


def test_unknown_figures_take_their_sentences_with_them():
    records = [
        trial("P100", step_ms=20, compute_ms=None),
        trial("K80", step_ms=50, compute_ms=43),
    ]
    found = explained(records)
    assert found.gains[P100].compute_only is None
    assert "ResNet-18 on MNIST, P100 over K80" not in found.sentences
    assert "–" in render_explanation(found)
    unnamed = {"hardware.detected": "Tesla P100"}
    records = [make_record(hardware="P100", changes=unnamed), make_record(hardware="K80")]
    gain = explained(records).gains[P100]
    assert (gain.flops, gain.bandwidth) == (None, None)


def gains_of(light, heavy, repeats=4, wiggle=0.002, compute_wiggle=None):
    """Make repeats with (P100 step, P100 compute, K80 step, K80 compute) of two models."""
    records = []
    for model, times in (("resnet18", light), ("googlenet", heavy)):
        for repeat in range(repeats):
            scale, alone = (
                1 + spread * (repeat - repeats / 2)
                for spread in (wiggle, wiggle if compute_wiggle is None else compute_wiggle)
            )
            for hardware, step, compute in (("P100", *times[:2]), ("K80", *times[2:])):
                record = trial(
                    hardware,
                    model=model,
                    step_ms=step * scale,
                    compute_ms=compute * alone,
                    repeat=repeat,
                )
                time = {"running_time_s": step * scale}
                records.append(record.model_copy(update=time))
    return explained(records).sentences["Does a lighter model gain less?"][0]


def test_whether_a_lighter_model_gains_less_and_why():
    overhead = gains_of((20, 15, 45, 40.05), (40, 35, 100, 93.45))
    assert "gain 2.25" in overhead
    assert "the lighter model gains less" in overhead
    assert "fits overhead as the cause" in overhead
    otherwise = gains_of((20, 20, 45, 45), (40, 40, 100, 100))
    assert "still less: overhead is not the whole cause" in otherwise
    more = gains_of((20, 20, 56, 56), (40, 40, 100, 100))
    assert "the lighter model gains more" in more
    turned = gains_of((20, 10, 45, 30), (40, 38, 100, 95))
    assert "the other way round" in turned
    same = gains_of((20, 20, 50, 50), (40, 40, 100, 100.2), wiggle=0.02)
    assert "which these repeats do not distinguish" in same
    assert "MNIST, P100 over K80: ResNet-18 (lighter) and GoogLeNet gain" in overhead
    open_ = gains_of((20, 15, 45, 40.05), (40, 35, 100, 93.45), compute_wiggle=0.2)
    assert "which these repeats do not distinguish either: the cause stays open" in open_
    single = gains_of((20, 15, 45, 40), (40, 35, 100, 93), repeats=1)
    assert "single runs cannot tell" in single


GFLOPS = {"resnet18": 10.0, "googlenet": 16.0, "resnet50": 24.0, "vgg11": 46.0}
ABOUT_LINES = "What does not grow with a model's FLOPs"


def on_a_line(models, repeats=3, off=(0.0, 0.0, 0.0, 0.0)):
    """Make repeats whose images take 0.5 ms and 0.2 ms a GFLOP, and what each model is off that."""
    records = []
    for model, gflops, away in zip(models, map(GFLOPS.get, models), off, strict=False):
        for repeat in range(repeats):
            per_image = 0.5 + 0.2 * gflops + 0.01 * (repeat - (repeats - 1) / 2) + away
            changes = {"images_per_s": 1000 / per_image, "model.flops_per_image": 1e9 * gflops}
            records.append(make_record(model, repeat=repeat, changes=changes))
    return explained(records)


def test_two_models_lie_on_a_line_within_what_their_repeats_spread():
    found = on_a_line(["resnet18", "googlenet"])
    line = found.lines["mnist", Hardware("P100")]
    # scipy.stats.linregress of the six points: standard errors 0.018156 and 0.0013608
    t = 2.7764451051977987  # 97.5 % quantile of Student's t with 4 degrees of freedom
    assert (line.intercept, line.slope) == pytest.approx((0.5, 0.2))
    assert line.intercept_half_width / t == pytest.approx(0.018156, rel=1e-3)
    assert line.slope_half_width / t == pytest.approx(0.0013608, rel=1e-3)
    assert found.sentences[ABOUT_LINES] == (
        "MNIST on P100, 2 models: 0.500 ± 0.050 ms an image and 0.2000 ± 0.0038 ms more for each "
        "GFLOP: the former does not grow with FLOPs (two models cannot show whether it is a line)",
    )


def test_repeats_of_a_model_do_not_show_that_models_lie_on_a_line():
    off = (0.2, -0.3, 0.1, 0.0)
    few, many = (on_a_line(list(GFLOPS), repeats=repeats, off=off) for repeats in (2, 20))
    one, other = (found.lines["mnist", Hardware("P100")] for found in (few, many))
    # scipy.stats.linregress of the four means: standard errors 0.26755 and 0.0096923
    t = 4.302652729911275  # 97.5 % quantile of Student's t with 2 degrees of freedom
    for line in (one, other):
        assert line.intercept_half_width / t == pytest.approx(0.26755, rel=1e-3)
        assert line.slope_half_width / t == pytest.approx(0.0096923, rel=1e-3)
    (said,) = many.sentences[ABOUT_LINES]
    assert "cannot be told from 0 (±: by how far the models lie from a line)" in said
    near = on_a_line(list(GFLOPS), off=[value / 10 for value in off]).sentences[ABOUT_LINES]
    assert "more for each GFLOP: the former does not grow with FLOPs (±: by" in near[0]


def test_a_model_with_more_flops_that_is_faster_is_no_line_of_flops():
    found = on_a_line(["resnet18", "googlenet"], off=(3.0, 0.0))
    assert found.lines["mnist", Hardware("P100")].slope == pytest.approx(-0.3)
    assert found.sentences[ABOUT_LINES] == (
        "MNIST on P100, 2 models: the models with more FLOPs take less time (0.3000 ± 0.0038 ms an "
        "image for each GFLOP), so that FLOPs are not what it depends on here",
    )


def test_one_model_has_no_line():
    assert ABOUT_LINES not in on_a_line(["resnet18"]).sentences


def test_what_is_left_without_input_has_an_interval_of_its_own():
    records = [
        trial(hardware, step_ms=step + extra, compute_ms=step - 7, repeat=repeat, data_wait=5)
        for hardware, step in (("P100", 20), ("K80", 50))
        for repeat, extra in enumerate((-0.2, 0.0, 0.2))
    ]
    found = explained(records)
    gain = found.gains[P100].without_input
    by_hand = ratio_of_means([44.8, 45.0, 45.2], [14.8, 15.0, 15.2])
    assert (gain.value, *gain.interval) == pytest.approx((by_hand.value, *by_hand.interval))
    said = found.sentences["ResNet-18 on MNIST, P100 over K80"]
    left = "3.00 [{:.2f}, {:.2f}]".format(*by_hand.interval)
    assert any(f"would be {left} times as fast instead of 2.50 [" in s for s in said)


def test_a_line_agrees_with_the_textbook():
    # scipy.stats.linregress: intercept 0.05, slope 1.99, standard errors 0.19807 and 0.059722
    line = line_through([1, 2, 3, 4, 5], [2.1, 3.9, 6.2, 7.8, 10.1])
    assert line.slope == pytest.approx(1.99)
    assert line.intercept == pytest.approx(0.05)
    t = 3.18244630528371  # 97.5 % quantile of Student's t with 3 degrees of freedom
    assert line.slope_half_width / t == pytest.approx(0.059722, rel=1e-3)
    assert line.intercept_half_width / t == pytest.approx(0.19807, rel=1e-3)
    with pytest.raises(ValueError, match="two different x"):
        line_through([1, 1, 1], [1, 2, 3])


@given(
    st.floats(-10, 10), st.floats(-10, 10), st.lists(st.integers(0, 99), min_size=2, unique=True)
)
def test_points_on_a_line_give_the_line_back(intercept, slope, x):
    line = line_through(x, [intercept + slope * value for value in x])
    assert line.slope == pytest.approx(slope, abs=1e-6)
    assert line.intercept == pytest.approx(intercept, abs=1e-5)


def test_unlike_results_are_not_explained_by_one_another():
    records = [make_record(), make_record(hardware="K80", changes={"environment.torch": "2.15"})]
    found = explained(records)
    assert found.gains == {}
    assert "not comparable: ResNet-18 · MNIST · P100: torch" in found.notes[0]
    assert explained(records, allow_mismatch=["torch"]).gains.keys() == {P100}


def test_unsteady_trials_are_named():
    records = [make_record(repeat=repeat, slowdown=1 + 0.2 * repeat) for repeat in range(3)]
    assert any("unsteady: ResNet-18 · MNIST · P100: rep" in n for n in explained(records).notes)


def test_baseline_and_configurations():
    assert explained(make_grid(1), baseline=Hardware("P100")).gains.keys() >= {K80}
    with pytest.raises(SpecError, match="no results on the baseline"):
        explained(make_grid(1), baseline=Hardware("A100"))
    records = [make_record(batch_size=size) for size in (10, 50)]
    found = room.explain(from_records(records))
    assert [each.configuration for each in found] == ["batch_size 10", "batch_size 50"]


def test_failed_trials_are_counted():
    assert any(
        "failed: 1 of 2" in n for n in explained([make_record(), make_failed(repeat=1)]).notes
    )


rate = st.none() | st.floats(min_value=0, max_value=1e9)


@given(rate, rate, rate, rate)
def test_no_figures_make_a_traceback_or_a_nan(images, compute, wait, flops):
    phases = dict.fromkeys(("transfer", "preprocess", "forward", "backward", "optimizer"))
    quartiles = None if wait is None else {"p25": wait, "p50": wait, "p75": wait}
    changes = {
        "images_per_s": images,
        "compute_only_images_per_s": compute,
        "phases_ms": {"data_wait": quartiles, **phases},
        "model.flops_per_image": flops,
    }
    records = [
        *(make_record(repeat=repeat, changes=changes) for repeat in range(2)),
        *(make_record(hardware="K80", repeat=repeat) for repeat in range(2)),
        make_record("googlenet"),
        make_record("googlenet", hardware="K80"),
    ]
    found = explained(records)
    assert "nan" not in render_explanation(found)
    document = json.loads(as_json(explanation_document(found)))
    assert all(
        value is None or math.isfinite(value)
        for row in document["steps"]
        for name, value in row.items()
        if name.endswith("_ms")
    )


def test_the_command(tmp_path):
    app = typer.Typer()
    app.command()(explain)
    folder = write_records(tmp_path, make_grid(3))
    (folder / "records" / "bad.json").write_text("{")
    shown = CliRunner().invoke(app, [str(folder)])
    assert shown.exit_code == 0
    for heading in (
        "Where a training step goes",
        "Speedup over K80, measured and expected",
        "Does a lighter model gain less?",
        ABOUT_LINES,
    ):
        assert heading in shown.stdout
    assert "1 file(s) left out" in shown.stderr
    document = json.loads(CliRunner().invoke(app, [str(folder), "--json"]).stdout)
    (explanation,) = document["explanations"]
    assert len(explanation["speedups"]) == 4
    assert len(document["problems"]) == 1
