from __future__ import annotations

import stat
from pathlib import Path

import pytest
from records import make_record

from raybench.record.rescue import PREFIX, recover, rescue
from raybench.record.store import Experiment


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "home"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_record_is_kept_where_only_the_user_may_look_and_comes_back(
    tmp_path: Path, home: Path
) -> None:
    experiment, record = Experiment(tmp_path / "results" / "mine"), make_record()
    path = rescue(record, experiment)
    assert path.is_relative_to(home / ".raybench" / "rescued")
    assert mode(home / ".raybench" / "rescued") == 0o700
    assert recover(Experiment(tmp_path / "results" / "other")) == []
    assert recover(experiment) == [experiment.record_path(record.trial_id)]
    assert experiment.read(record.trial_id) == record
    assert recover() == []
    assert not path.parent.exists()


def test_without_a_home_it_is_kept_in_a_new_temporary_folder(tmp_path: Path, home: Path) -> None:
    (home / ".raybench").write_text("in the way")
    experiment, record = Experiment(tmp_path / "results" / "mine"), make_record()
    rescue(record, experiment)
    rescue(make_record(repeat=1), experiment)
    folders = list((tmp_path / "tmp").glob(f"{PREFIX}*"))
    assert len(folders) == 2
    assert {mode(folder) for folder in folders} == {0o700}
    assert len(recover(results=tmp_path / "elsewhere")) == 2
    assert Experiment(tmp_path / "elsewhere" / "mine").is_complete(record.spec)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_planted_links_are_not_followed(tmp_path: Path, home: Path) -> None:
    target = tmp_path / "target"
    (target / "x" / "records").mkdir(parents=True)
    Experiment(target / "x").write(make_record())
    (home / ".raybench").mkdir()
    (home / ".raybench" / "rescued").symlink_to(target)
    (tmp_path / "tmp" / f"{PREFIX}x").symlink_to(target)
    assert recover() == []
    path = rescue(make_record(), Experiment(tmp_path / "mine"))
    assert path.resolve().is_relative_to((tmp_path / "tmp").resolve())
    assert not path.resolve().is_relative_to(target)


def test_a_better_record_stays(tmp_path: Path) -> None:
    experiment, record = Experiment(tmp_path / "mine"), make_record()
    changes = {"status": "interrupted", "started_at": "2036-01-01T12:00:00Z"}
    rescue(record.model_copy(update=changes), experiment)
    experiment.write(record)
    [path] = recover()
    assert path.parent.name == "attempts"
    assert experiment.read(record.trial_id) == record


def test_what_is_no_record_stays_where_it_is(tmp_path: Path) -> None:
    path = rescue(make_record(), Experiment(tmp_path / "mine"))
    path.write_text("{")
    assert recover() == []
    assert path.read_text() == "{"
