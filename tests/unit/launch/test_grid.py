"""What a grid does before and without Ray; tests/ray has the rest."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from records import make_record

from raybench.errors import ClusterError
from raybench.launch import grid as module
from raybench.launch.grid import run_grid, signals
from raybench.launch.options import Nobody
from raybench.record.store import Experiment
from raybench.settings import Workspace
from raybench.spec.grid import GridSpec, grid_spec
from raybench.spec.trial import TrialSpec


class Said(Nobody):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


def grid_of(repeats: int) -> GridSpec:
    fields = make_record().spec.model_dump(exclude={"repeat"}) | {"name": "unit"}
    return grid_spec({**fields, "repeats": repeats})


def folders(tmp_path: Path) -> Workspace:
    return Workspace(results=tmp_path, data=tmp_path, cache=tmp_path)


def test_a_complete_grid_needs_no_ray_and_no_data(tmp_path: Path) -> None:
    record = make_record()
    experiment = Experiment(tmp_path / "unit")
    experiment.write(record)
    said = Said()
    outcome = run_grid(grid_of(1), folders(tmp_path), watcher=said)
    assert outcome.records == (record,)
    assert outcome.is_complete
    assert said.messages == [
        f"1 of 1 trial is complete already, not run again: {experiment.folder / 'records'}"
    ]
    assert set(experiment.planned()) == {record.trial_id}


def test_what_is_due_is_run_and_what_is_known_serves_to_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record()
    Experiment(tmp_path / "unit").write(record)
    asked: dict[str, Any] = {}

    def run(due: Sequence[TrialSpec], *_: Any, known: Any, **_more: Any) -> tuple[bool, str]:
        asked.update(due=[trial.repeat for trial in due], known=known)
        return True, ""

    monkeypatch.setattr(module, "_run", run)
    monkeypatch.setattr(module, "check_grid", lambda *_: None)
    outcome = run_grid(grid_of(3), folders(tmp_path))
    assert asked == {"due": [1, 2], "known": [record]}
    assert outcome.interrupted
    assert not outcome.is_complete


def test_what_cannot_run_leaves_no_plan_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "check_grid", _refuse)
    with pytest.raises(ClusterError):
        run_grid(grid_of(1), folders(tmp_path))
    assert not (tmp_path / "unit" / "manifest.json").exists()


def _refuse(*_: Any) -> None:
    raise ClusterError("this machine cannot run the plan")


def test_signals_are_noted_and_a_second_interruption_is_meant() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        assert received.names == ["SIGTERM"]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray does, in a way of its own
        received.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert received.names == ["SIGTERM", "SIGTERM", "SIGUSR1"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_of_a_notebook_takes_no_signals() -> None:
    found: list[list[str]] = []
    before = signal.getsignal(signal.SIGTERM)

    def run() -> None:
        with signals() as received:
            received.listen()
            found.append(received.names)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [[]]
    assert signal.getsignal(signal.SIGTERM) is before
