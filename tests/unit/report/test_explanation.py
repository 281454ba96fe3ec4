"""An explanation as text, in a notebook, and for programs."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from records import make_failed, make_grid, make_record, make_step

from raybench.analysis.breakdown import SpeedupBreakdown, StepBreakdown
from raybench.analysis.configurations import Key
from raybench.analysis.explain import explain
from raybench.analysis.findings import (
    DatasheetExpectation,
    LighterModel,
    StepShare,
    TimeOverFlops,
    WithoutInput,
    WithoutOverhead,
)
from raybench.analysis.frame import from_records
from raybench.analysis.statistics import Ratio
from raybench.catalog.hardware import Hardware
from raybench.report.documents import as_json
from raybench.report.explanation import PrintableExplanation, explanation_document
from raybench.report.notes import sentence


def explained(records):
    (found,) = explain(from_records(records))
    return PrintableExplanation(**vars(found))


def document_of(explanation):
    return json.loads(as_json(explanation_document(explanation)))


def test_an_explanation_has_its_sections_in_order():
    shown = str(explained(make_grid(3)))
    places = [
        shown.index(heading)
        for heading in (
            "Where a training step's time goes",
            "Speedup over K80, measured and expected",
            "ResNet-18 on MNIST, P100 over K80",
            "Does a lighter model gain less?",
            "What does not grow with a model's FLOPs",
            "Notes",
            "n = 3",
        )
    ]
    assert places == sorted(places)


def test_a_notebook_shows_it_as_html():
    shown = explained(make_grid(1))._repr_html_()
    assert shown.startswith("<h3>Where a training step&#x27;s time goes</h3>")
    assert "<td>ResNet-18</td>" in shown
    assert "<h3>Does a lighter model gain less?</h3>" in shown
    assert "| model" not in shown


def test_a_column_without_a_figure_is_left_out_and_a_cell_is_a_dash():
    records = [
        make_step("P100", step_ms=20, compute_ms=None),
        make_step("K80", step_ms=50, compute_ms=43),
    ]
    steps, speedups, *_ = str(explained(records)).split("\n\n  ")
    (p100,) = [line for line in steps.splitlines() if "P100" in line]
    assert "–" in p100
    assert "preprocess" not in steps
    assert "FLOPs" in speedups


def test_unstable_and_failed_trials_are_noted():
    records = [make_record(repeat=repeat, slowdown=1 + 0.2 * repeat) for repeat in range(3)]
    shown = str(explained([*records, make_failed(repeat=3)]))
    assert "unstable repeats: ResNet-18 · MNIST · P100 (16%)" in shown
    assert "failed: 1 of 4" in shown


def test_a_program_gets_each_finding_with_its_figures_and_its_sentence():
    document = document_of(explained(make_grid(3)))
    assert len(document["speedups"]) == 4
    finding = document["findings"][0]
    assert finding["kind"] == "step_share"
    assert finding["cell"].keys() == {"model", "dataset", "hardware"}
    assert finding["baseline"] == "K80"
    assert finding["conclusion"] == "overhead"
    assert f"of a step on P100 ({finding['step']['step_ms']:.3g} ms)" in finding["text"]
    line, *_ = document["ms_per_image_over_gflops"]
    assert line["models"] == 2
    assert {"dataset", "hardware", "intercept", "slope", "intercept_half_width"} <= line.keys()


positive = st.floats(1e-6, 1e6)
fraction = st.floats(-2, 1)
hardware = st.builds(Hardware, st.sampled_from(["P100", "K80", "cpu:2"]), device=st.text("| a"))
cells = st.builds(Key, st.sampled_from(["resnet18", "nets:wide"]), st.just("mnist"), hardware)
terms = st.lists(st.tuples(st.floats(1e-9, 1e-2), st.integers(1, 8)), max_size=2).map(tuple)
ratios = st.builds(Ratio, value=positive, n=st.integers(1, 9), terms=terms)
of_cell = {"cell": cells, "baseline": hardware}
steps = st.builds(
    StepBreakdown,
    step_ms=positive,
    data_ms=st.none() | positive,
    transfer_ms=st.none(),
    preprocess_ms=st.none() | positive,
    compute_ms=positive,
    utilization=st.none(),
    overhead_half_width=st.none() | positive,
)
speedups = st.builds(
    SpeedupBreakdown,
    running_time=ratios,
    training=st.none(),
    without_input=st.none(),
    compute_only=st.none() | ratios,
    flops=st.none(),
    bandwidth=st.none() | positive,
)

FINDINGS = [
    st.builds(StepShare, **of_cell, step=steps, baseline_step=steps),
    st.builds(WithoutInput, **of_cell, training=ratios, without_input=ratios),
    st.builds(WithoutOverhead, **of_cell, training=ratios, compute_only=ratios),
    st.builds(
        DatasheetExpectation,
        **of_cell,
        flops=st.none() | positive,
        bandwidth=positive,
        compute_only=ratios,
    ),
    st.builds(
        LighterModel,
        light=cells,
        heavy=cells,
        baseline=hardware,
        light_speedup=speedups,
        heavy_speedup=speedups,
    ),
    st.builds(
        TimeOverFlops,
        dataset=st.just("mnist"),
        hardware=hardware,
        models=st.integers(2, 9),
        intercept=fraction,
        slope=fraction,
        intercept_half_width=st.none() | positive,
        slope_half_width=st.none() | positive,
    ),
]


def holds(written, value):
    """Whether a document says what a field holds."""
    if isinstance(value, Ratio):
        low = value.interval[0] if value.interval else None
        return (written["value"], written["low"], written["n"]) == (value.value, low, value.n)
    if isinstance(value, Key):
        return Key(**{**written, "hardware": Hardware.parse(written["hardware"])}) == value
    if isinstance(value, StepBreakdown | SpeedupBreakdown):
        return all(holds(written[name], field) for name, field in vars(value).items())
    return written == (str(value) if isinstance(value, Hardware) else value)


@given(st.one_of(FINDINGS))
def test_a_program_can_read_every_finding_back(finding):
    written = json.loads(as_json(finding))
    assert written["kind"] == finding.kind
    assert written["text"] == sentence(finding)
    assert finding.conclusion
    assert all(holds(written[name], value) for name, value in vars(finding).items())


rate = st.none() | st.floats(min_value=0, max_value=1e9)


@settings(max_examples=30)
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
    assert "nan" not in str(found)
    assert len(document_of(found)["findings"]) == len(found.findings)
