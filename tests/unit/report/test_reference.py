"""The reference as Markdown: a row for everything, with what it means."""

from __future__ import annotations

import re
from pathlib import Path

from records import make_record

from raybench.cli.schema import all_commands, reference
from raybench.record.schema import TrialRecord
from raybench.report.reference import record_table, write_pages
from raybench.settings import Settings
from raybench.spec.trial import TrialSpec


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of a table's rows by the first one."""
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    cells = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines]
    return {name.strip().strip("`"): rest for name, *rest in cells}


def record_rows() -> dict[str, list[str]]:
    return rows(record_table(TrialRecord.model_json_schema()))


def test_the_table_has_a_row_for_every_field_of_a_record() -> None:
    def names(value: object, prefix: str = "") -> set[str]:
        if isinstance(value, dict):
            return {prefix}.union(*(names(v, f"{prefix}.{k}") for k, v in value.items()))
        if isinstance(value, list):
            return {prefix}.union(*(names(v, f"{prefix}[]") for v in value))
        return {prefix}

    free = re.compile(r"\.(missing|.*environment\.(flags|variables|slurm))\..*")
    plain = re.compile(r"\.(p25|p50|p75|mean|min|max)$")
    found = names(make_record().model_dump(mode="json"))
    wanted = {
        plain.sub("", name).removeprefix(".")
        for name in found
        if not free.fullmatch(name) and not name.endswith("[]")
    }
    # Percentiles that stand beside others have rows of their own.
    wanted |= {"step_ms.p25", "step_ms.p50", "step_ms.p75"}
    assert wanted - {""} - set(record_rows()) == set()


def test_a_row_says_type_and_meaning() -> None:
    table = record_rows()
    assert table["status"][0] == '`"completed"`, `"failed"`, `"interrupted"`'
    assert table["epochs[].accuracy"] == [
        "number", "fraction of the evaluation images classified correctly, 0 to 1"
    ]  # fmt: skip
    assert table["phases_ms.forward"][0] == "{p25, p50, p75} or null"
    assert table["missing"][0] == "object of string"
    assert table["step_ms.count"][1].endswith("steps/\\<trial_id>.npz")


def test_every_setting_has_a_row_with_its_default() -> None:
    table = rows(reference()["settings.md"])
    assert set(table) == {f"RAYBENCH_{name.upper()}" for name in Settings.model_fields}
    assert table["RAYBENCH_RESULTS"][0] == "`results`"
    assert table["RAYBENCH_DATA"][0] == "–"


def test_every_column_has_a_meaning() -> None:
    table = rows(reference()["columns.md"])
    assert {"trial_id", "running_time_s", *TrialSpec.model_fields} <= set(table)
    assert all(meaning.strip() for *_, meaning in table.values())
    assert table["torch"] == ["text", "factor", "version"]


def test_every_command_has_a_section_with_its_options() -> None:
    page = reference()["cli.md"]
    sections = dict(re.findall(r"^## raybench ([\w -]+)\n(.*?)(?=^## |\Z)", page, re.S | re.M))
    assert {name for name, _ in all_commands()} <= set(sections)
    analyze = rows(sections["analyze"])
    assert "github" in str(analyze["--format TABLEFMT"])
    assert "`RESULTS`" in sections["analyze"] or "[RESULTS…]" in sections["analyze"]
    assert "raybench run MODEL DATASET" in sections["run"]
    # A field of a trial stands once, in a table of its own.
    assert page.count("`--warmup-steps") == 1


def test_pages_are_written_by_name(tmp_path: Path) -> None:
    written = write_pages({"a.md": "α\n"}, tmp_path / "deep" / "down")
    assert [path.name for path in written] == ["a.md"]
    assert written[0].read_text(encoding="utf-8") == "α\n"
