"""Functions that are called in a clean process, and come back in every way there is."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from raybench.errors import SpecError, TrialFailed
from raybench.trial.process.forkserver import CallFailedError, ProcessDiedError, call

LIMIT_S = 120.0


def answer(value: int) -> tuple[int, bool, bool, str | None]:
    torch = sys.modules.get("torch")
    untouched = torch is not None and not torch.cuda.is_initialized()
    return value, "torch" in sys.modules, untouched, os.environ.get("ONLY_FOR_THIS_CALL")


def refuse() -> None:
    raise SpecError("it is wrong", allowed="this", hint="do that")


def fail() -> None:
    raise TrialFailed("impossible", "it cannot be", hint="look")


def stumble() -> None:
    raise ZeroDivisionError("by nothing\nat all")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def note_and_wait(note: Path) -> None:
    note.write_text(str(os.getpid()))
    signal.pause()


def ask_again(value: int) -> tuple[int, bool]:
    found, _, untouched, _ = call(answer, value, timeout_s=LIMIT_S)
    return found + 1, untouched


def test_a_call_returns_from_a_process_with_torch_and_our_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONLY_FOR_THIS_CALL", "yes")
    assert call(answer, 5, timeout_s=LIMIT_S) == (5, True, True, "yes")


def test_a_called_process_may_call() -> None:
    assert call(ask_again, 5, timeout_s=LIMIT_S) == (6, True)


def test_errors_of_raybench_come_back_whole() -> None:
    with pytest.raises(SpecError) as caught:
        call(refuse, timeout_s=LIMIT_S)
    assert str(caught.value) == "it is wrong\nallowed: this\nhint:    do that"
    with pytest.raises(TrialFailed) as failed:
        call(fail, timeout_s=LIMIT_S)
    assert failed.value.kind == "impossible"


def test_other_errors_come_back_in_a_line() -> None:
    with pytest.raises(CallFailedError, match=r"^ZeroDivisionError: by nothing$"):
        call(stumble, timeout_s=LIMIT_S)


def test_a_process_that_dies_says_how() -> None:
    with pytest.raises(ProcessDiedError, match="was killed by SIGKILL"):
        call(die, timeout_s=LIMIT_S)
    with pytest.raises(ProcessDiedError, match="ended with exit code 3"):
        call(leave, timeout_s=LIMIT_S)


def test_a_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(ProcessDiedError, match="more than 1 s"):
        call(note_and_wait, note, timeout_s=1.0)
    # The answer does not depend on how far it came; if it came to its note, it is gone now.
    if note.exists():
        assert not psutil.pid_exists(int(note.read_text()))
