"""``raybench schema``: the published schema, and the reference as pages."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from records import make_record
from typer.testing import CliRunner

from raybench.cli.main import application
from raybench.cli.schema import reference


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(application, ["schema", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_schema_takes_a_record_and_refuses_another() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(printed()))
    validator.check_schema(validator.schema)
    record = make_record().model_dump(mode="json")
    assert list(validator.iter_errors(record)) == []
    for wrong in ({"status": "good"}, {"surprise": 1}, {"running_time_s": "long"}):
        assert not validator.is_valid({**record, **wrong})


def test_markdown_is_the_table_of_the_records_page() -> None:
    table = printed("--markdown")
    assert table.startswith("| field | type | meaning |")
    assert table in reference()["record.md"]


def test_the_pages_are_written_to_a_folder(tmp_path: Path) -> None:
    said = printed("--pages", str(tmp_path / "pages"))
    found = {path.name: path.read_text("utf-8") for path in (tmp_path / "pages").iterdir()}
    assert found == reference()
    assert all(name in said for name in found)
