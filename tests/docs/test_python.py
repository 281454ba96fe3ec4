"""Every Python block of the documentation runs, page by page, in a folder with results."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from markdown_pages import PAGES, ROOT, Block, blocks, name

import raybench

DATA = ROOT / "tests" / "data" / "records" / "v2"

REASONS = {"starts Ray": "tests/ray runs a grid through the API"}
"""What may stand in the comment <!-- not run: … --> above a block, and who runs it instead."""


def reason_not_to_run(block: Block) -> str | None:
    lines = block.page.read_text("utf-8").splitlines()
    match = re.fullmatch(r"<!-- not run: (.*) -->", lines[block.line - 3])
    return match[1] if match else None


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent.name != "extend"],  # those run in test_extend.py
    ids=name,
)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [block for block in blocks(page) if block.language == "python"]
    if found:
        shutil.copytree(DATA / "paper", tmp_path / "results" / "paper")
        for side in ("before", "after"):
            shutil.copytree(DATA / side, tmp_path / side)
    monkeypatch.chdir(tmp_path)
    variables: dict[str, Any] = {}
    for block in found:
        # As many lines above as in the page, so that a traceback says which one it is.
        code = compile("\n" * (block.line - 1) + block.text, name(page), "exec")
        reason = reason_not_to_run(block)
        if reason is None:
            exec(code, variables)
        else:
            assert reason in REASONS


def test_what_is_public_is_documented_and_what_is_documented_is_public() -> None:
    text = (ROOT / "docs" / "python-api.md").read_text("utf-8")
    named = set(re.findall(r"raybench\.([A-Za-z]\w*)", text)) - {"__all__"}
    named |= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert named == set(raybench.__all__)


def test_every_error_of_the_table_is_one() -> None:
    text = (ROOT / "docs" / "python-api.md").read_text("utf-8")
    for kind in re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE):
        assert issubclass(getattr(raybench, kind), raybench.RaybenchError)


def test_messages_that_troubleshooting_quotes_are_messages_of_the_program() -> None:
    """Each part of a quoted message between … stands in the source, whatever it is joined from."""
    files = [*(ROOT / "raybench").rglob("*.py"), *(ROOT / "cluster").glob("*.sh")]
    sources = "".join(path.read_text("utf-8") for path in files)
    joined = re.sub(r'"\s*\n\s*f?"', "", sources)
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    quoted = [*re.findall(r"«([^»]+)»", page)]
    kinds = re.findall(r"^\*\*((?:`\w+`(?:, )?)+)", page, re.MULTILINE)
    parts = [part.strip() for quote in quoted for part in re.split(r"…|\d+", quote)]
    words = [word for group in kinds for word in re.findall(r"\w+", group)]
    missing = [part for part in [*parts, *words] if part not in joined]
    assert len(quoted) > 5
    assert missing == []


def test_nothing_of_this_machine_is_shown() -> None:
    home = os.path.expanduser("~")  # noqa: PTH111 - as a shell would write it
    for page in PAGES:
        assert f"{home}/" not in page.read_text("utf-8")
