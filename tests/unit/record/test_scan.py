from __future__ import annotations

import os
from pathlib import Path

import pytest
from records import make_record, write_records

from raybench.errors import ResultsError
from raybench.record.scan import MAX_RECORD_BYTES, Unreadable, experiments, record_files, scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of an experiment with one record."""
    return write_records(tmp_path / "results", [make_record()], "mine")


def test_results_an_experiment_its_records_and_a_record_are_read_alike(folder: Path) -> None:
    path = next((folder / "records").iterdir())
    expected = [(path, make_record())]
    for given in (folder.parent, folder, folder / "records", path):
        assert list(scan([given])) == expected
    assert list(scan([folder, path, folder.parent])) == expected, "each once"
    assert [e.folder for e in experiments([folder.parent, folder / "records"])] == [folder]


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(folder: Path) -> None:
    (folder / "records" / "0.json").write_text("[]")
    os.mkfifo(folder / "records" / "1.json")
    with (folder / "records" / "2.json").open("wb") as file:
        file.truncate(MAX_RECORD_BYTES + 2)
    (folder / "records" / "3.json").symlink_to("nowhere")
    (folder / "records" / "notes.txt").write_text("not a record")
    *unreadable, (path, record) = scan([folder])
    assert record == make_record()
    assert path.stem == record.trial_id
    reasons = {found.path.name: found.reason for found in unreadable}  # type: ignore[union-attr]
    assert all(isinstance(found, Unreadable) for found in unreadable)
    assert list(reasons) == ["0.json", "1.json", "2.json", "3.json"]
    assert "not a raybench record" in reasons["0.json"]
    assert "far too large" in reasons["2.json"]
    assert "No such file" in reasons["3.json"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no results at"):
        record_files([tmp_path / "absent"])


def test_a_folder_without_results_holds_none(tmp_path: Path) -> None:
    assert record_files([tmp_path]) == []
    assert experiments([tmp_path]) == []
