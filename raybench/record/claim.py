"""One driver at a time for an experiment, or for a trial of it: a file that says who it is.

The driver changes its file every few seconds, on the file system that all share. Whether a driver
of another node lives is judged by that alone, against one's own monotonic clock: no two nodes need
agree on the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybench.errors import ResultsError
from raybench.record.files import create, read_plain
from raybench.record.store import Experiment, utc_now
from raybench.system.processes import machine, started

BEAT_S = 10.0
"""How often a driver changes its file."""

STALE_S = 60.0
"""Seconds without a change after which a driver of another node counts as dead."""

_MOST_BYTES = 4096
_EXPERIMENT = "experiment"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How time passes.

    Attributes:
        beat_s: how often a file is changed.
        stale_s: seconds without a change after which its driver counts as dead.
    """

    beat_s: float = BEAT_S
    stale_s: float = STALE_S


@contextlib.contextmanager
def claimed(
    experiment: Experiment, trial_id: str | None = None, pace: Pace | None = None
) -> Iterator[Claim]:
    """Hold an experiment, or one of its trials, against all other drivers.

    Args:
        experiment: while it is held, nobody holds one of its trials, and the other way round.
        trial_id: the trial; without it, the experiment.
        pace: how time passes.

    Raises:
        ResultsError: another driver holds it, which is named; or the folder cannot be written.
    """
    pace = pace or Pace()
    folder = experiment.folder / "claims"
    claim = Claim(folder / f"{trial_id or _EXPERIMENT}.json", pace)
    claim.take()
    try:
        others = [folder / f"{_EXPERIMENT}.json"] if trial_id else sorted(folder.glob("*.json"))
        for other in others:
            if other != claim.path:
                _refuse_if_held(other, pace)
        with claim.beating():
            yield claim
    finally:
        claim.release()


class Claim:
    """A file that says who is at work.

    Args:
        path: where it lies.
        pace: how time passes.
    """

    def __init__(self, path: Path, pace: Pace) -> None:
        self.path = path
        self.is_lost = False
        self._pace = pace
        self._token = secrets.token_hex(16)
        self._beats = 0
        self._since = utc_now()

    def take(self) -> None:
        """Take it, over from a dead driver if need be.

        Raises:
            ResultsError: another driver holds it; or the folder cannot be written.
        """
        while not create(self.path, self._text()):
            _refuse_if_held(self.path, self._pace)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Change the file in a thread; if it has become another's, ``is_lost`` says so."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._pace.beat_s):
                with contextlib.suppress(OSError, ResultsError):
                    self._beat()

        thread = threading.Thread(target=beat, name="claim", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def release(self) -> None:
        """Let others take it."""
        with contextlib.suppress(OSError):
            if self._is_ours():
                self.path.unlink()

    def _beat(self) -> None:
        """Change the file where it lies: a disk that is full allows that."""
        self._beats += 1
        try:
            self.is_lost = not self._is_ours()
        except FileNotFoundError:  # somebody removed it
            self.is_lost = not create(self.path, self._text())
        if not self.is_lost:
            number = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.pwrite(number, self._text(), 0)
            finally:
                os.close(number)

    def _is_ours(self) -> bool:
        return self._token.encode() in read_plain(self.path, _MOST_BYTES)

    def _text(self) -> bytes:
        """Return the content, always of one length."""
        content = {
            "node": os.uname().nodename,
            "process": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "since": self._since,
            "machine": machine(),
            "started": started(os.getpid()),
            "token": self._token,
            "beats": f"{self._beats:012}",
        }
        return json.dumps(content, indent=1).encode() + b"\n"


def _refuse_if_held(path: Path, pace: Pace) -> None:
    """Refuse what a living driver holds; the file of a dead one is removed."""
    judged = _content(path)
    if judged is None:
        return
    holder = _holder(judged)
    if holder.get("machine") == machine():
        is_held = started(holder["process"]) == holder["started"]
    else:
        is_held = _changes(path, judged, pace)
    if is_held:
        job = f" (job {holder['job']})" if holder.get("job") else ""
        raise ResultsError(
            f"{path.parent.parent}: process {holder.get('process', 'unknown')} on "
            f"{holder.get('node', 'another node')}{job} is at work there since "
            f"{holder.get('since', 'unknown')}",
            hint="wait for its end, or name another folder with --results",
        )
    _remove(path, judged)


def _changes(path: Path, judged: bytes, pace: Pace) -> bool:
    """Whether a file changes, or is another's, before its driver counts as dead."""
    deadline = time.monotonic() + pace.stale_s
    while time.monotonic() < deadline:
        time.sleep(pace.beat_s / 4)
        now = _content(path)
        if now != judged:
            return now is not None
    return False


def _remove(path: Path, judged: bytes) -> None:
    """Remove a dead driver's file, unless another driver was faster and it is that one's now."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if _content(aside) != judged:
            with contextlib.suppress(OSError):
                os.link(aside, path)
        aside.unlink()


def _content(path: Path) -> bytes | None:
    """Return what a file holds, b"" if that cannot be read, None if there is no file."""
    try:
        return read_plain(path, _MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _holder(content: bytes) -> dict[str, Any]:
    """Return who a file names; nobody, if it is damaged or half written."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(content)
        if isinstance(found, dict) and isinstance(found.get("process"), int):
            return {"started": None, **found}
    return {}
