"""What programs read of tables."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from records import make_failed, make_grid, make_record

from raybench.analysis.configurations import Key
from raybench.analysis.frame import from_records
from raybench.analysis.quantities import QUANTITIES, Options
from raybench.analysis.tables import make_tables
from raybench.catalog.hardware import Hardware
from raybench.report.documents import document
from raybench.report.tables import Tables


@pytest.fixture(scope="module")
def all_tables():
    failed = [make_failed(dataset="kmnist"), make_record(dataset="kmnist", hardware="K80")]
    records = [*make_grid(3), *failed]
    options = Options(prices={"P100": 1.46, "K80": 0.9}, target_accuracy=0.9)
    return Tables(make_tables(from_records(records), list(QUANTITIES), options))


def test_json_and_csv_hold_each_cell_unrounded(all_tables):
    content = json.loads(all_tables.render("json"))
    listed = list(csv.DictReader(io.StringIO(all_tables.render("csv"))))
    cells = [(table["table"], cell) for table in content["tables"] for cell in table["cells"]]
    tables = [table for section in all_tables.sections for table in section.tables]
    assert len(cells) == len(listed) == sum(len(table.cells) for table in tables)
    for (name, cell), row in zip(cells, listed, strict=True):
        assert row["table"] == name
        assert row["state"] == cell["state"]
        assert row["value"] == ("" if cell["value"] is None else repr(cell["value"]))
    order = list(dict.fromkeys(tables[0].cells))
    for table in tables:
        assert list(table.cells) == [key for key in order if key in table.cells]
    (failed,) = [row for row in listed if (row["table"], row["state"]) == ("speedup", "failed")]
    assert (failed["dataset"], failed["value"]) == ("kmnist", "")
    speedups = next(table for table in content["tables"] if table["table"] == "speedup")
    assert speedups["baseline"] == "K80"
    assert speedups["geometric_means"][0]["hardware"] == "P100"
    assert "ratio_intervals" in [note["kind"] for note in speedups["notes"]]
    (failed,) = [note for note in content["notes"] if note["kind"] == "not_completed"]
    assert (failed["trials"], failed["planned"], failed["configuration"]) == (1, 26, "")
    assert failed["text"].startswith("failed: 1 of 26 trials")


def test_the_cells_are_a_frame(all_tables):
    frame = all_tables.to_frame()
    assert set(frame["table"]) == set(QUANTITIES)
    assert frame["value"].dtype == "float64"
    assert frame["n"].dtype == "int64"


def test_without_anything_to_compare_the_frame_has_its_columns_all_the_same():
    alone = Tables(make_tables(from_records([make_record()]), ["speedup"]))
    assert len(alone.to_frame()) == 0
    assert alone.render("csv").startswith("table,configuration,baseline,model,dataset,hardware,")


def test_what_json_cannot_say_becomes_null_or_a_name():
    key = Key("resnet18", "mnist", Hardware("P100", device="a"))
    assert document({"x": (math.nan, -math.inf, 1.5), "k": key, "b": True}) == {
        "x": [None, None, 1.5],
        "k": {"model": "resnet18", "dataset": "mnist", "hardware": "P100 (a)"},
        "b": True,
    }
