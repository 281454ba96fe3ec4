"""What differs between two result sets, as text and for programs."""

from __future__ import annotations

import json

from records import make_grid, make_record

from raybench.analysis.frame import from_records
from raybench.analysis.published import compare_with_published, load_published
from raybench.analysis.quantities import Options
from raybench.report.comparison import published_document, render_published


def beside_published(records):
    published = load_published("li2022")
    return compare_with_published(from_records(records), published, Options())


def test_ones_own_beside_the_published():
    shown = render_published(beside_published(make_grid(3)), "github")
    assert shown.startswith("Beside the published: Juncen Li")
    speedups = [line for line in shown.splitlines() if line.startswith("| speedup")]
    (line,) = [each for each in speedups if "ResNet-18" in each and "CIFAR10" in each]
    assert "2.6290" in line
    assert "[ ]: 95 % interval of one's own figure" in shown
    assert "not the same workload: epochs is 3, published with 10" in shown
    assert "not the same workload: train_limit is 1000, published without one" in shown


def test_a_column_of_configurations_where_there_are_several():
    records = [make_record(batch_size=size) for size in (10, 50)]
    assert "| batch_size 50" in render_published(beside_published(records), "github")
    assert "batch_size 10" not in render_published(beside_published(records[:1]), "github")


def test_nothing_in_common_with_the_published():
    shown = render_published(beside_published([make_record(dataset="fashionmnist")]), "github")
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
        "text": "epochs is 3, published with 10",
    }
