"""Published results, and one's own beside them."""

from __future__ import annotations

import pytest
from records import make_grid, make_record

from raybench.analysis.frame import from_records
from raybench.analysis.published import compare_with_published, load_published
from raybench.analysis.quantities import Options
from raybench.catalog.hardware import Hardware
from raybench.errors import RaybenchError, SpecError


def compared(records, name="li2022", **options):
    return compare_with_published(from_records(records), load_published(name), Options(**options))


def test_the_thesis_comes_with_raybench():
    published = load_published("li2022")
    assert published.source.startswith("Juncen Li")
    assert set(published.trials["hardware"]) == {"K80", "P100"}
    assert set(published.trials["status"]) == {"completed"}


def test_running_times_and_speedups_of_what_both_have():
    found = compared(make_grid(3))
    speedups = [cell for cell in found.cells if cell.quantity == "speedup"]
    assert {cell.key.hardware for cell in speedups} == {Hardware("P100")}
    assert len(found.cells) == 8 + len(speedups) == 12
    (cifar,) = [c for c in speedups if c.key[:2] == ("resnet18", "cifar10")]
    assert cifar.published == pytest.approx(2.6290, abs=1e-4)
    assert cifar.ratio == cifar.own / cifar.published
    assert cifar.low < cifar.own < cifar.high


def test_how_the_workload_differs():
    found = {each.field: (each.own, each.published) for each in compared(make_grid(1)).differences}
    assert found == {
        "epochs": (("3",), "10"),
        "train_limit": (("1000",), None),
        "eval_limit": (("100",), None),
    }


def test_each_configuration_is_compared():
    records = [
        make_record(hardware=hardware, batch_size=size)
        for size in (10, 50)
        for hardware in ("K80", "P100")
    ]
    sxm2 = {"hardware.detected": "Tesla P100-SXM2-16GB"}
    found = compared([*records, make_record(repeat=1, changes=sxm2)])
    # With two kinds of device under one label, neither is the published one.
    assert [(c.quantity, c.configuration, str(c.key.hardware)) for c in found.cells] == [
        ("running-time", "batch_size 10", "K80"),
        ("running-time", "batch_size 50", "K80"),
    ]
    speedups = [cell for cell in compared(records).cells if cell.quantity == "speedup"]
    assert [cell.configuration for cell in speedups] == ["batch_size 10", "batch_size 50"]


def test_the_baseline_is_the_one_asked_for_where_both_have_it():
    found = compared(make_grid(1), baseline=Hardware("P100"))
    assert {c.key.hardware.label for c in found.cells if c.quantity == "speedup"} == {"K80"}


def test_nothing_in_common():
    assert compared([make_record(dataset="fashionmnist")]).cells == ()


def test_published_results_of_ones_own(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("hardware,model,dataset,running_time_s,accuracy\nP100,resnet18,mnist,4.5,0\n")
    found = compared([make_record()], str(path))
    assert (found.source, found.differences) == (str(path), ())
    assert [cell.published for cell in found.cells] == [4.5]


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'li2022'"):
        load_published("li2023")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,c\n1,2,3\n", "lacks the columns hardware"),
        ("", "lacks the columns"),
        ("hardware,model,dataset,running_time_s,accuracy\n", "no rows"),
        ("hardware,model,dataset,running_time_s,accuracy\nP100,r,m,nan,0.9\n", "line 2: running"),
        ("hardware,model,dataset,running_time_s,accuracy\nP100,r,m,-1,0.9\n", "line 2: running"),
        ("hardware,model,dataset,running_time_s,accuracy\nP100,r,m,1,99\n", "line 2: accuracy"),
        ("hardware,model,dataset,running_time_s,accuracy\nP100,r\n", "line 2: dataset"),
        ("hardware,model,dataset,running_time_s,accuracy\n\x1b[2J,r,m,1,0.9\n", "line 2: hardware"),
        (
            "hardware,model,dataset,running_time_s,accuracy\n" + "P,r,m,1,1\n" * 10_001,
            "10,000 rows",
        ),
        ("hardware" + "x" * 200_000, "larger than field limit"),
    ],
)
def test_a_foreign_csv_is_refused(tmp_path, content, message):
    path = tmp_path / "foreign.csv"
    path.write_text(content)
    with pytest.raises(RaybenchError, match=message) as raised:
        load_published(str(path))
    assert "foreign.csv" in str(raised.value)
