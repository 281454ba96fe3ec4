"""The pages of the reference say what the program's own definitions say."""

from __future__ import annotations

import pytest
from markdown_pages import ROOT

from raybench.cli.schema import reference

FOLDER = ROOT / "docs" / "reference"


@pytest.mark.parametrize("page", ["record.md", "columns.md", "settings.md", "cli.md"])
def test_a_page_is_what_would_be_written_now(page: str) -> None:
    written = (FOLDER / page).read_text(encoding="utf-8")
    assert written == reference()[page], "run `make docs`"


def test_there_is_no_page_of_nothing() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(reference())
