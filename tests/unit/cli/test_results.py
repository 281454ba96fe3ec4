from __future__ import annotations

from pathlib import Path

import pytest
from records import make_record
from typer.testing import CliRunner

from raybench.cli.main import application
from raybench.record.rescue import rescue
from raybench.record.store import Experiment


def test_rescued_records_are_put_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    experiment = Experiment(tmp_path / "results" / "mine")
    rescue(make_record(), experiment)
    rescue(make_record(repeat=1), experiment)
    done = CliRunner().invoke(application, ["results", "recover"])
    assert done.exit_code == 0
    assert str(experiment.record_path(make_record().trial_id)) in done.output
    assert done.output.endswith("2 records put back\n")
    assert experiment.is_complete(make_record(repeat=1).spec)
    again = CliRunner().invoke(application, ["results", "recover", str(tmp_path)])
    assert again.output == "nothing to put back\n"
