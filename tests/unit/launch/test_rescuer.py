"""A disk that is full for a while, and one that stays so."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from records import make_record

from raybench.errors import ResultsError
from raybench.launch.rescuer import RETRY_FOR_S, Rescuer
from raybench.record.store import Experiment


@dataclass
class Clock:
    """Passes as fast as one sleeps; mends the disk at a time."""

    folder: Path
    mended_s: float = float("inf")
    now_s: float = 0.0
    said: list[str] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.mended_s and self.folder.is_file():
            self.folder.unlink()

    def rescuer(self) -> Rescuer:
        return Rescuer(
            experiment=Experiment(self.folder),
            say=self.said.append,
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )


@pytest.fixture
def blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").write_text("a file where the folder should be")
    return Clock(tmp_path / "mine")


def test_what_can_be_written_is_written(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "mine")
    rescuer = clock.rescuer()
    rescuer.keep(make_record())
    rescuer.finish()
    assert Experiment(tmp_path / "mine").is_complete(make_record().spec)
    assert (rescuer.is_waiting, clock.said) == (False, [])


def test_a_record_waits_until_its_place_can_be_written(blocked: Clock, tmp_path: Path) -> None:
    rescuer = blocked.rescuer()
    blocked.mended_s = 65
    rescuer.keep(make_record())
    rescuer.keep(make_record(repeat=1))
    assert rescuer.is_waiting
    assert len(list((tmp_path / ".raybench").rglob("*-r?-*.json"))) == 2
    rescuer.again()
    rescuer.finish()
    assert 65 <= blocked.now_s < 90
    assert not rescuer.is_waiting
    assert Experiment(blocked.folder).is_complete(make_record(repeat=1).spec)
    assert not list((tmp_path / ".raybench").rglob("*.json"))


def test_after_some_minutes_it_is_said_where_the_records_are(
    blocked: Clock, tmp_path: Path
) -> None:
    rescuer = blocked.rescuer()
    rescuer.keep(make_record())
    with pytest.raises(ResultsError) as caught:
        rescuer.finish()
    assert RETRY_FOR_S < blocked.now_s < RETRY_FOR_S + 60
    [path] = (tmp_path / ".raybench").rglob("*-r?-*.json")
    assert str(path) in str(caught.value)
    assert "raybench results recover" in str(caught.value)


def test_who_is_interrupted_waits_for_nothing(blocked: Clock) -> None:
    rescuer = blocked.rescuer()
    rescuer.keep(make_record())
    with pytest.raises(ResultsError, match="1 record kept elsewhere"):
        rescuer.finish(wait=False)
    assert blocked.now_s == 0


def test_what_can_be_kept_nowhere_is_named(
    blocked: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "mine"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "mine"))
    rescuer = blocked.rescuer()
    rescuer.keep(make_record())
    with pytest.raises(ResultsError, match=f"{make_record().trial_id} could be kept nowhere"):
        rescuer.finish()
