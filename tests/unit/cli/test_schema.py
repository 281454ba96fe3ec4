"""The published schema, its table, and the README's page of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
from records import make_record
from typer.testing import CliRunner

from raybench.cli.main import application
from raybench.cli.schema import record_table
from raybench.record.schema import TrialRecord

README = Path(__file__).parents[3] / "README.md"


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(application, ["schema", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def rows() -> dict[str, list[str]]:
    """Return type and meaning by the field's name."""
    lines = printed("--markdown").splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {name.strip("`"): rest for name, *rest in cells}


def test_the_schema_takes_a_record_and_refuses_another() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(printed()))
    validator.check_schema(validator.schema)
    record = make_record().model_dump(mode="json")
    assert list(validator.iter_errors(record)) == []
    for wrong in ({"status": "good"}, {"surprise": 1}, {"running_time_s": "long"}):
        assert not validator.is_valid({**record, **wrong})


def test_the_table_has_a_row_for_every_field_of_a_record() -> None:
    def names(value: object, prefix: str = "") -> set[str]:
        if isinstance(value, dict):
            return {prefix}.union(*(names(v, f"{prefix}.{k}") for k, v in value.items()))
        if isinstance(value, list):
            return {prefix}.union(*(names(v, f"{prefix}[]") for v in value))
        return {prefix}

    free = re.compile(r"\.(missing|environment\.(flags|variables|slurm))\..*")
    plain = re.compile(r"\.(p25|p50|p75|mean|min|max)$")
    found = names(make_record().model_dump(mode="json"))
    wanted = {
        plain.sub("", name).removeprefix(".")
        for name in found
        if not free.fullmatch(name) and not name.endswith("[]")
    }
    # Percentiles that stand beside others have rows of their own.
    wanted |= {"step_ms.p25", "step_ms.p50", "step_ms.p75"}
    assert wanted - {""} - set(rows()) == set()


def test_a_row_says_type_and_meaning() -> None:
    table = rows()
    assert table["status"][0] == '`"completed"`, `"failed"`, `"interrupted"`'
    assert table["epochs[].accuracy"] == [
        "number", "fraction of the evaluation images classified correctly, 0 to 1"
    ]  # fmt: skip
    assert table["phases_ms.forward"][0] == "{p25, p50, p75} or null"
    assert table["missing"][0] == "object of string"
    assert table["environment.affinity"][0] == "list of integer"
    assert table["step_ms.count"][1].endswith("steps/\\<trial_id>.npz")


def test_the_readme_holds_exactly_this_table() -> None:
    text = README.read_text(encoding="utf-8")
    between = re.search(r"<!-- record:begin -->\n(.*)\n<!-- record:end -->", text, re.DOTALL)
    assert between, "README.md has no <!-- record:begin --> … <!-- record:end -->"
    assert between[1].strip() == record_table(TrialRecord.model_json_schema()), (
        "put the output of `raybench schema --markdown` there"
    )
