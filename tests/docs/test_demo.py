"""What the README shows of the demo looks like what the demo prints, but for the figures."""

from __future__ import annotations

import re

from markdown_pages import ROOT
from records import make_record

import raybench
from raybench.spec.grid import load_grid


def shape(text: str) -> list[str]:
    """Return a text's lines without its figures, and with a table's columns of no width."""
    lines = re.sub(r"[0-9]+(\.[0-9]+)?", "0", text).strip().splitlines()
    return [re.sub(r"-+", "-", re.sub(r"[^\S\n]+", " ", line)).strip() for line in lines]


def test_the_readme_shows_the_demos_tables() -> None:
    plan = load_grid(ROOT / "raybench" / "cli" / "demo.yaml").plan()
    records = [make_record(**trial.model_dump(exclude_defaults=True)) for trial in plan]
    frame = raybench.load(records).assign(device="AMD EPYC")
    printed = shape(str(raybench.tables(frame)))
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = shape(readme.partition("<!-- demo:begin -->")[2].partition("<!-- demo:end -->")[0])
    # What a reader is warned of differs from run to run.
    warned = ("unstable", "warning", "co-located", "throttled")
    lines = [line for line in shown if line != "```" and not line.startswith(warned)]
    assert lines
    assert lines == printed[-len(lines) :], "the end of what it prints, or all of it"
