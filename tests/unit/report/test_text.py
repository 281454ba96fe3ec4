"""Tables as text for people, in every format of tabulate."""

from __future__ import annotations

import re

import pytest
import tabulate
from records import make_failed, make_grid, make_record

from raybench.analysis.frame import from_records
from raybench.analysis.published import load_published
from raybench.analysis.quantities import QUANTITIES, Options
from raybench.analysis.tables import make_tables
from raybench.errors import SpecError
from raybench.report.tables import Tables

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
    return Tables(make_tables(from_records(records), list(QUANTITIES), options))


def test_the_published_tables_digit_for_digit():
    frame = load_published("li2022").trials
    names = ("running-time", "accuracy", "speedup")
    options = Options(published=True)
    times, accuracies, speedups = (
        rows(str(Tables(make_tables(frame, [name], options)))) for name in names
    )
    columns = "P100 CIFAR10 P100 MNIST P100 KMNIST K80 CIFAR10 K80 MNIST K80 KMNIST"
    assert times["model"] == columns
    assert {model: times[model] for model in PUBLISHED_TIMES} == PUBLISHED_TIMES
    assert {model: accuracies[model] for model in PUBLISHED_TIMES} == PUBLISHED_ACCURACIES
    assert speedups["GoogLeNet"] == "2.7811 2.8301 2.8246"
    assert speedups["ResNet-18"] == "2.6290 2.8175 2.8684"


@pytest.mark.parametrize("tablefmt", tabulate.tabulate_formats)
def test_every_format_of_tabulate(tablefmt, all_tables):
    rendered = all_tables.render(tablefmt)
    assert "GoogLeNet" in rendered
    assert "failed" in rendered


def test_an_unknown_format_is_refused_with_the_nearest(all_tables):
    with pytest.raises(SpecError, match="did you mean 'github'"):
        all_tables.render("git-hub")


def test_footnotes_stand_once_below_the_tables_of_a_configuration():
    records = [
        make_record(batch_size=size, hardware=h) for size in (10, 64) for h in ("P100", "K80")
    ]
    shown = str(Tables(make_tables(from_records(records))))
    assert shown.count("n = 1 (a single run) in each cell") == 2
    first, second = (shown.index(f"Notes — batch_size {size}\n") for size in (10, 64))
    headings = [match.start() for match in re.finditer("— batch_size 64", shown)]
    assert first < min(headings)
    assert second == max(headings) - len("Notes ")


def test_a_notebook_shows_them_as_html(all_tables):
    assert "<h3>Running time (s)</h3>" in all_tables._repr_html_()


def test_markup_in_a_record_stays_text():
    evil = "</td><script>x</script>|$\\input{a}"
    kinds = [make_record(changes={"hardware.detected": f"P100 {evil}"}), make_record(repeat=1)]
    tables = Tables(make_tables(from_records([*kinds, make_failed(repeat=2, message=evil)])))
    for tablefmt in ("html", "unsafehtml"):
        assert "<script>" not in tables.render(tablefmt)
    for tablefmt in ("latex_booktabs", "latex_raw"):
        below = tables.render(tablefmt).partition("\\end{tabular}")[2]
        assert all(line.startswith("%") for line in below.split("\\begin")[0].splitlines() if line)
    times, _ = str(tables).split("\n\nAccuracy")
    markdown = [line for line in times.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in markdown}) == 1


def test_a_table_wider_than_the_terminal_is_broken_up_between_the_hardware():
    times = Tables(make_tables(load_published("li2022").trials, ["running-time"]))
    whole, broken = str(times), times.render(width=80)
    assert max(map(len, whole.splitlines())) > 80
    assert max(map(len, broken.splitlines())) <= 80
    assert sorted(re.findall(r"\d+\.\d{4}", whole)) == sorted(re.findall(r"\d+\.\d{4}", broken))
    assert broken.count("| model") == 2
    assert times.render(width=200) == whole
