"""The pages of the reference say what the program's own definitions say."""

from __future__ import annotations

import re

import pytest
from markdown_pages import PAGES, ROOT

from raybench.cli.schema import reference

FOLDER = ROOT / "docs" / "reference"


@pytest.mark.parametrize("page", ["record.md", "columns.md", "settings.md", "cli.md"])
def test_a_page_is_what_would_be_written_now(page: str) -> None:
    written = (FOLDER / page).read_text(encoding="utf-8")
    assert written == reference()[page], "run `make docs`"


def test_there_is_no_page_of_nothing() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(reference())


OF_THE_SCRIPTS = {"RAYBENCH_SITE", "RAYBENCH_PACKAGE", "RAYBENCH_ENVIRONMENT"}
"""Variables that the batch scripts read, with RAYBENCH_ENVIRONMENT_<LABEL>; see docs/slurm.md."""


def test_every_variable_that_is_named_has_a_row_or_is_of_the_scripts() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    text += (ROOT / "cluster" / "site.env.example").read_text("utf-8")
    named = set(re.findall(r"RAYBENCH_(?!ENVIRONMENT_)[A-Z_]+", text))
    rows = set(re.findall(r"^\| `(\w+)` \|", reference()["settings.md"], re.MULTILINE))
    assert named - rows == OF_THE_SCRIPTS
    slurm = (ROOT / "docs" / "slurm.md").read_text("utf-8")
    assert all(name in slurm for name in OF_THE_SCRIPTS)
