"""Texts use the words of the field; what this project once called things is in no text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_pages import ROOT

INSTEAD = {
    r"(?<!make )\brooms?\b": "package, module, or nodes with free resources",
    r"tune[- ]?ups?\b": "autotune, autotuning",
    r"unsteady": "unstable",
    r"\bcompany\b": "co-located trials",
    r"distort": "interfere",
    r"the way past": "to allow it",
    r"\bto do:": "hint:",
    r"\bcures?\b": "hint",
}

FORMER = {
    "raybench/cli/main.py": "the hidden alias",
    "raybench/trial/autotune/kept.py": "the folder of results that are there",
    "raybench/record/upgrades.py": "records of versions 1 and 2",
    "CHANGELOG.md": "says what was renamed",
}
"""Files that name tune-up, and why."""

FILES = [
    path
    for folder in ("raybench", "cluster", "benchmarks", "experiments", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".md", ".sh", ".sbatch", ".yaml", ".example")
] + [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile")]


@pytest.mark.parametrize("word", INSTEAD)
def test_a_private_word_is_in_no_text(word: str) -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(word, line, re.IGNORECASE)
        and (name := path.relative_to(ROOT).as_posix()) not in _exempt(word)
    ]
    assert found == [], f"say {INSTEAD[word]}"


def _exempt(word: str) -> set[str]:
    return set(FORMER) if word.startswith("tune") else {"CHANGELOG.md"}


def test_exemptions_are_needed() -> None:
    for name in FORMER:
        assert re.search(r"tune.up", Path(ROOT, name).read_text("utf-8"), re.IGNORECASE), name
