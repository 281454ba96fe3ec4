"""What a driver does with records that cannot be written to their place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from raybench.errors import ResultsError, count
from raybench.record.rescue import forget, rescue
from raybench.record.schema import TrialRecord
from raybench.record.store import Experiment

RETRY_EVERY_S = 10.0
"""How often it is tried to write them to their place after all."""

RETRY_FOR_S = 300.0
"""Seconds after which that is given up."""


@dataclass(kw_only=True)
class Rescuer:
    """Keeps records elsewhere while their place cannot be written, and tries again.

    Attributes:
        experiment: where they belong.
        say: is told what a person should know.
        clock: monotonic, in seconds.
        sleep: waits for so many seconds.
    """

    experiment: Experiment
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _records: dict[str, TrialRecord] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)
    _since_s: float = 0.0
    _tried_s: float = 0.0
    _why: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __getstate__(self) -> dict[str, object]:
        """Return what there is to write of it: Tune writes what it is given, and reads none."""
        return {"experiment": self.experiment}

    @property
    def is_waiting(self) -> bool:
        """Whether records lie elsewhere; then nothing new is to be started."""
        return bool(self._records)

    @property
    def has_given_up(self) -> bool:
        """Whether it was tried for long enough."""
        return self.is_waiting and self.clock() - self._since_s > RETRY_FOR_S

    def keep(self, record: TrialRecord) -> None:
        """Write a record to its place, or else keep it elsewhere until it can be."""
        with self._lock:
            try:
                self.experiment.write(record)
            except ResultsError as error:
                if not self._records:
                    self._since_s = self._tried_s = self.clock()
                    self.say(f"{error}\nno more trials start; it is tried again for some minutes")
                self._why = error.message
                self._records[record.trial_id] = record
                self._rescue(record)

    def _rescue(self, record: TrialRecord) -> None:
        try:
            self._paths[record.trial_id] = rescue(record, self.experiment)
            self.say(f"kept as {self._paths[record.trial_id]}")
        except ResultsError as error:
            self.say(str(error))

    def again(self) -> None:
        """Try to write the records to their place, now and then."""
        with self._lock:
            if not self._records or self.clock() - self._tried_s < RETRY_EVERY_S:
                return
            self._tried_s = self.clock()
            for name, record in list(self._records.items()):
                try:
                    self.experiment.write(record)
                except ResultsError:
                    return
                del self._records[name]
                if name in self._paths:
                    forget(self._paths.pop(name))
            self.say(f"{self.experiment.folder} can be written again")

    def finish(self, *, wait: bool = True) -> None:
        """Try until all records lie in their place.

        Args:
            wait: whether to try for some minutes.

        Raises:
            ResultsError: some could not be written; it names where they are kept.
        """
        while wait and self.is_waiting and not self.has_given_up:
            self.sleep(RETRY_EVERY_S)
            self.again()
        if self.is_waiting:
            kept = "\n".join(map(str, self._paths.values()))
            lost = [name for name in self._records if name not in self._paths]
            raise ResultsError(
                f"{self._why}\n{count(len(self._paths), 'record')} kept elsewhere:\n{kept}"
                + "".join(f"\n{name} could be kept nowhere" for name in lost),
                hint="make room, then `raybench results recover`, or run the same command again",
            )
