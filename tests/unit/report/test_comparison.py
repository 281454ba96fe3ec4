"""What differs between two result sets, as text and for programs."""

from __future__ import annotations

import json

from records import make_failed, make_grid, make_record

from raybench.analysis.compare import compare
from raybench.analysis.frame import from_records
from raybench.analysis.published import compare_with_published, load_published
from raybench.analysis.quantities import Options
from raybench.report import render
from raybench.report.comparison import PrintableComparison, published_document, published_part


def compared(a, b):
    return PrintableComparison(**vars(compare(from_records(a), from_records(b), fail_below=0.95)))


def results(repeats=4, seed=0, slowdown=1.0, **changes):
    return [
        make_record(model, repeat=repeat, seed=seed, slowdown=slowdown, changes=changes)
        for model in ("googlenet", "resnet18")
        for repeat in range(repeats)
    ]


def test_differences_stand_before_what_they_explain():
    shown = str(compared(results(), results(seed=7, **{"environment.torch": "2.15.0"})))
    assert shown.index("2.15.0") < shown.index("Speed of B over A")
    assert "verdicts at 5 %, Holm's correction for 2 cells" in shown
    assert "TOO SLOW" not in shown
    assert "configuration" not in shown
    assert "TOO SLOW" in str(compared(results(), results(seed=7, slowdown=1.3)))


def test_single_runs_have_no_verdict():
    shown = str(compared(results(1), results(1, seed=7)))
    assert "single runs: no verdict" in shown
    assert "Holm" not in shown
    assert "no difference on record" in shown


def test_trials_in_both_and_cells_that_are_not_compared_are_noted():
    before = results(2)
    shown = str(compared(before, [*before[:3], make_failed(repeat=1)]))
    assert "3 trials in both A and B" in shown
    shown = str(compared(before[:3], [*before[:2], make_failed()]))
    assert "not compared: ResNet-18 · MNIST · P100: failed in B" in shown


def test_a_bar_in_a_name_ends_no_cell():
    found = compared(results(), results(**{"environment.hostname": "a | b"}))
    (line,) = [line for line in str(found).splitlines() if "hostname" in line]
    assert line.count("|") == 5
    assert r"a \| b" in line
    assert "<td>a | b</td>" in found._repr_html_()


def beside_published(records):
    published = load_published("li2022")
    return compare_with_published(from_records(records), published, Options())


def test_ones_own_beside_the_published():
    shown = render([published_part(beside_published(make_grid(3)))])
    assert shown.startswith("Compared with published results: Juncen Li")
    speedups = [line for line in shown.splitlines() if line.startswith("| speedup")]
    (line,) = [each for each in speedups if "ResNet-18" in each and "CIFAR10" in each]
    assert "2.6290" in line
    assert "[ ]: 95 % interval of one's own figure" in shown
    assert "not the same workload: epochs is 3, published with 10" in shown
    assert "not the same workload: train_limit is 1000, published without one" in shown


def test_a_column_of_configurations_where_there_are_several():
    records = [make_record(batch_size=size) for size in (10, 50)]
    assert "| batch_size 50" in render([published_part(beside_published(records))])
    assert "batch_size 10" not in render([published_part(beside_published(records[:1]))])


def test_nothing_in_common_with_the_published():
    shown = render([published_part(beside_published([make_record(dataset="fashionmnist")]))])
    assert "no model, dataset and hardware in common" in shown


def test_the_published_for_programs():
    document = json.loads(json.dumps(published_document(beside_published(make_grid(3)))))
    assert {row["quantity"] for row in document["rows"]} == {"running-time", "speedup"}
    assert all(row["ratio"] == row["own"] / row["published"] for row in document["rows"])
    assert document["notes"][0] == {
        "kind": "workload_difference",
        "field": "epochs",
        "own": ["3"],
        "published": "10",
        "text": "not the same workload: epochs is 3, published with 10",
    }
