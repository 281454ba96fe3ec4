"""Tables as LaTeX, which compile."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from records import make_failed, make_grid, make_record

from raybench.analysis.frame import from_records
from raybench.analysis.published import compare_with_published, load_published
from raybench.analysis.quantities import QUANTITIES, Options
from raybench.analysis.tables import make_tables
from raybench.report import render
from raybench.report.comparison import published_part
from raybench.report.tables import Tables


def latex(sections):
    return Tables(sections).to_latex()


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
            latex(make_tables(frame, ["running-time", "accuracy", "speedup"])),
            latex(make_tables(published.trials)),
            latex(make_tables(one_hardware, ["speedup"])),
            render([published_part(compared)], "latex"),
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
    rendered = latex(make_tables(load_published("li2022").trials, ["running-time"]))
    for rule in (
        "\\toprule",
        "\\midrule",
        "\\bottomrule",
        "\\cmidrule(lr){2-4} \\cmidrule(lr){5-7}",
    ):
        assert rule in rendered
    assert "\\multicolumn{3}{c}{P100} & \\multicolumn{3}{c}{K80}" in rendered
    assert "ResNet-18 & 694 & 519" in rendered


def test_latex_has_no_question_mark_of_our_own():
    records = [make_record(batch_size=size, repeat=r) for size in (10, 64) for r in range(3)]
    everything = [*make_grid(3), *records, make_failed(dataset="kmnist")]
    options = Options(prices={"P100": 1.46}, target_accuracy=0.9)
    rendered = latex(make_tables(from_records(everything), list(QUANTITIES), options))
    assert r"Running time (s) \textemdash{} batch\_size 64" in rendered
    assert "?" not in rendered


def test_latex_escapes_what_it_would_act_on():
    tables = make_tables(from_records([make_failed(message="100 % of a_b & {c}")]))
    rendered = latex(tables)
    assert r"100 \% of a\_b \& \{c\}" in rendered


def test_what_holds_for_several_tables_stands_below_the_last():
    tables = latex(make_tables(load_published("li2022").trials)).split("\\end{table}")[:-1]
    assert ["n = 1" in table for table in tables] == [False, False, True]
