from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from raybench.errors import SpecError
from raybench.schedule.resources import NODE_TIMEOUT_S
from raybench.settings import Settings, workspace

PACKAGE = Path(__file__).parents[2] / "raybench"

OF_A_JOB = {f"RAYBENCH_{name}" for name in ("HOME", "BATCH_STARTED", "STEP", "STATE", "NODE_RUN")}
"""What a batch job's processes tell one another; nobody sets them."""

OF_THE_SCRIPTS = {f"RAYBENCH_{name}" for name in ("SITE", "ENVIRONMENT", "PACKAGE")}
"""What the batch scripts read before raybench runs; the page of the settings names them."""


def test_folders_are_those_given_or_of_the_variables_or_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYBENCH_DATA", str(tmp_path))
    assert workspace().data == tmp_path
    assert workspace(data=Path("given")).data == Path("given")
    monkeypatch.setenv("RAYBENCH_DATA", "")
    monkeypatch.delenv("RAYBENCH_RESULTS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert workspace().data == tmp_path / "home/raybench"
    assert workspace().results == Path("results")
    assert workspace(Path("mine")).results == Path("mine")


def test_a_workspace_travels_to_another_process() -> None:
    folders = workspace(Path("mine")).absolute()
    assert folders.results == Path.cwd() / "mine"
    assert pickle.loads(pickle.dumps(folders)) == folders


def test_variables_are_read_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().debug is False
    monkeypatch.setenv("RAYBENCH_DEBUG", "1")
    monkeypatch.setenv("RAYBENCH_NODE_TIMEOUT_S", "12.5")
    assert (Settings().debug, Settings().node_timeout_s) == (True, 12.5)


def test_a_wrong_variable_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBENCH_NODE_TIMEOUT_S", "soon")
    with pytest.raises(SpecError, match="RAYBENCH_NODE_TIMEOUT_S is 'soon'"):
        Settings()


def test_every_variable_that_the_package_names_is_a_setting() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"\bRAYBENCH_[A-Z][A-Z_]*\b", text))
    settings = {f"RAYBENCH_{name.upper()}" for name in Settings.model_fields}
    assert named <= settings | OF_A_JOB | OF_THE_SCRIPTS
    assert Settings().node_timeout_s == NODE_TIMEOUT_S
