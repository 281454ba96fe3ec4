"""Tables as text for people, LaTeX, and programs."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess

import pytest
import tabulate
from hypothesis import given
from hypothesis import strategies as st
from records import make_failed, make_grid, make_record

from raybench.analysis.frame import from_records
from raybench.analysis.published import compare_with_published, load_published
from raybench.analysis.tables import QUANTITIES, Cell, Options, make_tables
from raybench.errors import SpecError
from raybench.report import text
from raybench.report.comparison import render_published

PUBLISHED_TIMES = {
    "GoogLeNet": "1019.2370 914.2736 914.4191 2834.6030 2587.4574 2582.8948",
    "ResNet-18": "693.6736 518.9218 505.2194 1823.6968 1462.0754 1449.1527",
}
PUBLISHED_ACCURACIES = {
    "GoogLeNet": "87.0600% 99.3000% 97.6100% 85.9100% 99.3200% 97.3000%",
    "ResNet-18": "83.2600% 99.1900% 96.8000% 83.6200% 99.2800% 95.7000%",
}


def rows(rendered):
    lines = [line.split("|")[1:-1] for line in rendered.splitlines() if line.startswith("|")]
    return {cells[0].strip(): " ".join(cell.strip() for cell in cells[1:]) for cells in lines}


@pytest.fixture(scope="module")
def all_tables():
    failed = [make_failed(dataset="kmnist"), make_record(dataset="kmnist", hardware="K80")]
    records = [*make_grid(3), *failed]
    options = Options(prices={"P100": 1.46, "K80": 0.9}, target_accuracy=0.9)
    return make_tables(from_records(records), list(QUANTITIES), options)


def test_the_published_tables_digit_for_digit():
    tables = make_tables(load_published("li2022").frame)
    times, accuracies, speedups = (rows(text.render([table])) for table in tables)
    columns = "P100 CIFAR10 P100 MNIST P100 KMNIST K80 CIFAR10 K80 MNIST K80 KMNIST"
    assert times["model"] == columns
    assert {model: times[model] for model in PUBLISHED_TIMES} == PUBLISHED_TIMES
    assert {model: accuracies[model] for model in PUBLISHED_TIMES} == PUBLISHED_ACCURACIES
    assert speedups["GoogLeNet"] == "2.7811 2.8301 2.8246"
    assert speedups["ResNet-18"] == "2.6290 2.8175 2.8684"


@pytest.mark.parametrize("tablefmt", tabulate.tabulate_formats)
def test_every_format_of_tabulate(tablefmt, all_tables):
    rendered = text.render(all_tables, tablefmt)
    assert "GoogLeNet" in rendered
    assert "failed" in rendered


def test_an_unknown_format_is_refused_with_the_nearest(all_tables):
    with pytest.raises(SpecError, match="did you mean 'github'"):
        text.render(all_tables, "git-hub")


def test_json_and_csv_hold_each_cell_unrounded(all_tables):
    tables = all_tables
    document = json.loads(text.render(tables, "json"))
    listed = list(csv.DictReader(io.StringIO(text.render(tables, "csv"))))
    cells = [(table["table"], cell) for table in document["tables"] for cell in table["cells"]]
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
    speedups = next(table for table in document["tables"] if table["table"] == "speedup")
    assert speedups["baseline"] == "K80"
    assert speedups["geometric_means"][0]["hardware"] == "P100"
    assert any("95 %" in note for note in speedups["notes"])


def test_markup_in_a_record_stays_text():
    evil = "</td><script>x</script>|$\\input{a}"
    kinds = [make_record(changes={"hardware.detected": f"P100 {evil}"}), make_record(repeat=1)]
    tables = make_tables(from_records([*kinds, make_failed(repeat=2, message=evil)]))
    for tablefmt in ("html", "unsafehtml"):
        assert "<script>" not in text.render(tables, tablefmt)
    for tablefmt in ("latex_booktabs", "latex_raw"):
        below = text.render(tables, tablefmt).partition("\\end{tabular}")[2]
        assert all(line.startswith("%") for line in below.split("\\begin")[0].splitlines() if line)
    markdown = [line for line in text.render(tables[:1]).splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in markdown}) == 1


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Cell(state="measured", value=2.78110, n=1), "2.7811"),
        (Cell(state="measured", value=2.78110, low=2.7, high=2.86, n=5), "2.781 [2.700, 2.860]"),
        (Cell(state="measured", value=2.78110, low=1.3, high=5.9, n=2), "2.8 [1.3, 5.9]"),
        (Cell(state="measured", value=3.66, low=0.14, high=95.02, n=2), "3.7 [0.1, 95.0]"),
        (
            Cell(state="measured", value=1, low=0.9, high=1.1, n=5, verdict="not distinguishable"),
            "1.00 [0.90, 1.10] ≈",
        ),
        (
            Cell(state="measured", value=2.78110, low=2.78098, high=2.78122, n=5),
            "2.78110 [2.78098, 2.78122]",
        ),
        (
            Cell(state="measured", value=2.78110, low=2.7811, high=2.7811, n=5),
            "2.7811 [2.7811, 2.7811]",
        ),
        (Cell(state="failed"), "failed"),
        (Cell(state="interrupted"), "interrupted"),
        (Cell(state="missing"), "missing"),
        (Cell(state="not comparable"), "not comparable"),
        (Cell(state="unmeasured"), "n/a"),
        (Cell(state="absent"), "–"),
        (None, "–"),
    ],
)
def test_a_ratio_is_rounded_to_what_its_interval_supports(cell, expected, all_tables):
    (speedups,) = (table for table in all_tables if table.name == "speedup")
    assert text.cell_text(speedups, cell) == expected


@given(st.floats(min_value=1e-9, max_value=1e12), st.floats(min_value=0, max_value=1e12))
def test_any_mean_can_be_shown(all_tables, value, half_width):
    times = all_tables[0]
    assert times.name == "running-time"
    cell = Cell(state="measured", value=value, low=value - half_width, high=value + half_width)
    assert "±" in text.cell_text(times, cell)


def test_a_table_wider_than_the_terminal_is_broken_up_between_the_hardware():
    (times,) = make_tables(load_published("li2022").frame, ["running-time"])
    whole, broken = text.render([times]), text.render([times], width=80)
    assert max(map(len, whole.splitlines())) > 80
    assert max(map(len, broken.splitlines())) <= 80
    assert sorted(re.findall(r"\d+\.\d{4}", whole)) == sorted(re.findall(r"\d+\.\d{4}", broken))
    assert broken.count("| model") == 2
    assert text.render([times], width=200) == whole


@pytest.fixture
def pdflatex():
    """Return the path of pdflatex; ``RAYBENCH_REQUIRE_LATEX=1`` lets no test go without it."""
    found = shutil.which("pdflatex")
    if found is None:
        required = os.environ.get("RAYBENCH_REQUIRE_LATEX") == "1"
        (pytest.fail if required else pytest.skip)("pdflatex is not installed")
    return found


def test_latex_compiles_no_wider_than_the_line(tmp_path, pdflatex):
    characters = " ".join(chr(c) for c in range(0x20, 0x250) if chr(c).isprintable())
    hostile = make_failed(
        dataset="kmnist", message=f"--a `b` {characters} “quoted” 日本 \\end{{x}}"
    )
    frame = from_records([*make_grid(3), hostile])
    published, options = load_published("li2022"), Options()
    one_hardware = from_records([make_record()])
    compared = compare_with_published(frame, published, options)
    tables = "\n".join(
        [
            text.render(make_tables(frame, ["running-time", "accuracy", "speedup"]), "latex"),
            text.render(make_tables(published.frame), "latex"),
            text.render(make_tables(one_hardware, ["speedup"]), "latex"),
            render_published(compared, "latex"),
        ]
    )
    (tmp_path / "tables.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        f"{tables}\n\\end{{document}}\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_latex_groups_datasets_under_their_hardware_with_booktabs():
    rendered = text.render(make_tables(load_published("li2022").frame, ["running-time"]), "latex")
    for rule in (
        "\\toprule",
        "\\midrule",
        "\\bottomrule",
        "\\cmidrule(lr){2-4} \\cmidrule(lr){5-7}",
    ):
        assert rule in rendered
    assert "\\multicolumn{3}{c}{P100} & \\multicolumn{3}{c}{K80}" in rendered
    assert "ResNet-18 & 693.6736 & 518.9218" in rendered


def test_latex_has_no_question_mark_of_our_own():
    records = [make_record(batch_size=size, repeat=r) for size in (10, 64) for r in range(3)]
    everything = [*make_grid(3), *records, make_failed(dataset="kmnist")]
    options = Options(prices={"P100": 1.46}, target_accuracy=0.9)
    rendered = text.render(
        make_tables(from_records(everything), list(QUANTITIES), options), "latex"
    )
    assert r"Running time (s) \textemdash{} batch\_size 64" in rendered
    assert "?" not in rendered


def test_latex_escapes_what_it_would_act_on():
    tables = make_tables(from_records([make_failed(message="100 % of a_b & {c}")]))
    rendered = text.render(tables, "latex")
    assert r"100 \% of a\_b \& \{c\}" in rendered
