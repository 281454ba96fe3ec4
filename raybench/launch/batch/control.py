"""What a batch script says, and what its scheduler tells it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from raybench.errors import RaybenchError


@dataclass(frozen=True, kw_only=True)
class JobLog:
    """The batch script's log.

    Attributes:
        started_s: when the script began, in seconds of Unix time.
    """

    started_s: float

    @property
    def elapsed_s(self) -> float:
        """Seconds since the script began."""
        return time.time() - self.started_s

    def say(self, text: str) -> None:
        """Write a line, with the seconds since the script began."""
        print(f"[{self.elapsed_s:6.1f} s] {text}", flush=True)


class Interrupted(RaybenchError):
    """The scheduler or the user ended the job."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("the job was ended")


class Signals:
    """What the scheduler asked this job: nothing yet, to end soon (USR1), or to end now (TERM).

    Attributes:
        received: the last signal.
        on_signal: is called with each.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.received: int | None = None
        self.on_signal: Callable[[int], None] | None = None
        self._say = say

    def listen(self) -> None:
        """Take note of the scheduler's signals from now on."""
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None = None) -> None:  # noqa: ARG002
        """Take note of a signal and pass it on."""
        self.received = number
        self._say(f"received {signal.Signals(number).name}")
        if self.on_signal is not None:
            self.on_signal(number)

    @property
    def end_soon(self) -> bool:
        """Whether what runs may come to its end before the time limit."""
        return self.received == signal.SIGUSR1

    def check(self) -> None:
        """Raise if the job is to end.

        Raises:
            Interrupted: it is.
        """
        if self.received is not None:
            raise Interrupted
