"""Every sentence is one that its finding's figures support."""

from __future__ import annotations

import pytest
from records import make_record, make_step

from raybench.analysis.explain import explain
from raybench.analysis.frame import from_records
from raybench.report.findings import about
from raybench.report.notes import sentence

MODELS = "Does a lighter model gain less?"
LINES = "What does not grow with a model's FLOPs"
K80 = make_step("K80", step_ms=50, compute_ms=43, data_wait=5, transfer=1)


def said(records, heading="ResNet-18 on MNIST, P100 over K80"):
    """Return the sentences below a heading."""
    (found,) = explain(from_records(records))
    return [sentence(finding) for finding in found.findings if about(finding) == heading]


def test_a_step_and_its_speedups():
    assert said([make_step("P100", step_ms=20, compute_ms=12, data_wait=5, transfer=1), K80]) == [
        "40% of a step on P100 (20 ms) is not compute: data loading 25%, transfer 5%, "
        "kernel launch overhead and the host 10%. On K80 (50 ms) 14% is not",
        "without input on either side, training would be 3.14 times as fast instead of 2.50",
        "overhead lowers the speedup (single runs): 3.58 for compute alone, 2.50 for training",
        "datasheets lead one to expect 2.13 by peak FLOPs and 3.05 by memory bandwidth; "
        "compute alone, 3.58, is above both",
    ]


def test_a_step_that_is_all_compute():
    records = [
        make_step("P100", step_ms=20, compute_ms=19.8, data_wait=0.1),
        make_step("K80", step_ms=50, compute_ms=49, data_wait=0.1),
    ]
    step, overhead, _datasheets = said(records)
    assert step == "99% of a step on P100 (20 ms) is compute, on K80 (50 ms) 98%"
    assert overhead.startswith("overhead hardly changes the speedup: ")


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            {"compute_ms": 25, "data_wait": 1},
            "a step on P100 (20 ms) is shorter than the same step on a resident batch (25 ms), so "
            "that no part of it can be called overhead",
        ),
        (
            {"compute_ms": 12, "data_wait": 15},
            "40% of a step on P100 (20 ms) is not compute (its phases, timed apart, come to more "
            "than a step: they do not say which part). On K80 (50 ms) 14% is not",
        ),
        (
            {"compute_ms": 12},
            "40% of a step on P100 (20 ms) is not compute (its phases are unknown). "
            "On K80 (50 ms) 14% is not",
        ),
    ],
)
def test_a_step_whose_parts_say_nothing(step, expected):
    assert said([make_step("P100", step_ms=20, **step), K80])[0] == expected


def test_repeats_that_disagree_support_no_sentence():
    records = [
        make_step(hardware, step_ms=step, compute_ms=compute, repeat=repeat, data_wait=1)
        for hardware, step in (("P100", 20), ("K80", 50))
        for repeat, compute in enumerate((0.3 * step, 0.9 * step, 1.3 * step))
    ]
    found = said(records)
    assert "what part of a step on P100 (20 ms) is compute cannot be told" in found[0]
    assert "cannot be told from that" in found[-1]


def test_wide_intervals_do_not_show_that_overhead_hardly_matters():
    records = [
        make_step(
            hardware, step_ms=step * scale, compute_ms=step * scale, repeat=repeat, data_wait=0
        )
        for hardware, step in (("P100", 20), ("K80", 50))
        for repeat, scale in enumerate((0.7, 1.0, 1.4))
    ]
    (overhead,) = [each for each in said(records) if "overhead" in each]
    assert overhead.startswith(
        "whether overhead changes the speedup cannot be told from these repeats: 2.50 ["
    )


def test_on_a_processor_there_is_no_kernel_launch_overhead():
    records = [
        make_step("cpu:2", step_ms=20, compute_ms=12, data_wait=1),
        make_step("cpu:1", step_ms=50, compute_ms=45, data_wait=1),
    ]
    found = said(records, "ResNet-18 on MNIST, cpu:2 over cpu:1")
    assert "is not compute: data loading 5%, the rest 35%. On cpu:1" in found[0]


def gains_of(light, heavy, repeats=4, wiggle=0.002, compute_wiggle=None):
    """Say what becomes of (P100 step, P100 compute, K80 step, K80 compute) of two models."""
    records = []
    for model, times in (("resnet18", light), ("googlenet", heavy)):
        for repeat in range(repeats):
            scale, alone = (
                1 + spread * (repeat - repeats / 2)
                for spread in (wiggle, wiggle if compute_wiggle is None else compute_wiggle)
            )
            for hardware, step, compute in (("P100", *times[:2]), ("K80", *times[2:])):
                record = make_step(
                    hardware,
                    model=model,
                    step_ms=step * scale,
                    compute_ms=compute * alone if compute else None,
                    repeat=repeat,
                )
                records.append(record.model_copy(update={"running_time_s": step * scale}))
    (found,) = said(records, MODELS)
    return found


def test_whether_a_lighter_model_gains_less_and_why():
    overhead = gains_of((20, 15, 45, 40.05), (40, 35, 100, 93.45))
    assert overhead.startswith("MNIST, P100 over K80: ResNet-18 (lighter) and GoogLeNet gain 2.25")
    assert "the lighter model gains less" in overhead
    assert overhead.endswith("which is not distinguishable: it fits overhead as the cause")
    otherwise = gains_of((20, 20, 45, 45), (40, 40, 100, 100))
    assert otherwise.endswith("still less: overhead is not the whole cause")
    more = gains_of((20, 20, 56, 56), (40, 40, 100, 100))
    assert "the lighter model gains more" in more
    turned = gains_of((20, 10, 45, 30), (40, 38, 100, 95))
    assert turned.endswith("the other way round: overhead outweighs what the hardware does")
    same = gains_of((20, 20, 50, 50), (40, 40, 100, 100.2), wiggle=0.02)
    assert same.endswith(", which these repeats do not distinguish")
    open_ = gains_of((20, 15, 45, 40.05), (40, 35, 100, 93.45), compute_wiggle=0.2)
    assert open_.endswith("which these repeats do not distinguish either: the cause stays open")
    unknown = gains_of((20, None, 45, 40.05), (40, 35, 100, 93.45))
    assert unknown.endswith("; compute alone was not measured, so that the cause stays open")
    single = gains_of((20, 15, 45, 40), (40, 35, 100, 93), repeats=1)
    assert single.endswith("; single runs cannot tell whether that differs")


def lines(points, spread=0.01, repeats=3):
    """Say what becomes of models' (GFLOPs, milliseconds) per image."""
    records = [
        make_record(
            model,
            repeat=repeat,
            changes={
                "images_per_s": 1000 / (ms + spread * (repeat - (repeats - 1) / 2)),
                "model.flops_per_image": 1e9 * gflops,
            },
        )
        for model, (gflops, ms) in zip(
            ("resnet18", "googlenet", "resnet50", "vgg11"), points, strict=False
        )
        for repeat in range(repeats)
    ]
    (found,) = said(records, LINES)
    return found


def test_what_does_not_grow_with_flops():
    assert lines([(10, 2.5), (16, 3.7)]) == (
        "MNIST on P100, 2 models: 0.500 ± 0.050 ms an image and 0.2000 ± 0.0038 ms more for each "
        "GFLOP: the former does not grow with FLOPs (two models cannot show whether it is a line)"
    )
    assert lines([(10, 5.5), (16, 3.7)]) == (
        "MNIST on P100, 2 models: the models with more FLOPs take less time (0.3000 ± 0.0038 ms an "
        "image for each GFLOP), so that FLOPs are not what it depends on here"
    )
    assert lines([(10, 2.5), (16, 3.7)], repeats=1) == (
        "MNIST on P100, 2 models: 0.5 ms an image and 0.2 ms more for each GFLOP; "
        "two runs give no interval"
    )
    off = lines([(10, 2.7), (16, 3.4), (24, 5.4), (46, 9.7)])
    assert off.endswith("cannot be told from 0 (±: by how far the models lie from a line)")
    near = lines([(10, 2.52), (16, 3.67), (24, 5.31), (46, 9.7)])
    assert ": the former does not grow with FLOPs (±: by how far" in near
    assert "; below 0, so that time grows faster than FLOPs" in lines([(10, 1.0), (16, 3.0)])
    same = lines([(10, 2.5), (16, 2.5)], spread=0.3)
    assert same.endswith(": these repeats do not show that time grows with FLOPs")
