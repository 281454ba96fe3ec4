"""The driver of a grid as a batch script runs it: in sight, into a log, and ended with the job."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raybench.launch.batch.control import Interrupted, JobLog, Signals

STOPS_S, STOPS_SOON_S = 15.0, 100.0
"""What the driver may take to stop: the first within the 30 s that Slurm allows after ``scancel``,
the second within the two minutes before the time limit."""


def grid_command(spec: Path, settings: Sequence[str], results: Path) -> list[str]:
    """Return the command of a grid's driver."""
    command = [sys.executable, "-m", "raybench", "grid", str(spec)]
    command += [part for setting in settings for part in ("-s", setting)]
    return [*command, f"--results={results}"]


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A driver to be run.

    Attributes:
        command: what to run.
        head: ``address:port`` of the Ray cluster.
        log_file: where its output goes too.
        log: the batch script's log.
        cluster_has_ended: whether Ray has ended on all nodes.
    """

    command: Sequence[str]
    head: str
    log_file: Path
    log: JobLog
    cluster_has_ended: Callable[[], bool]

    def run(self, signals: Signals) -> int:
        """Run it to its end, pass signals on to it, and return the exit code for the job."""
        self.log.say("driver: " + shlex.join(self.command))
        driver = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"RAY_ADDRESS": self.head, "PYTHONUNBUFFERED": "1"},
        )
        shower = threading.Thread(target=self._show, args=(driver,))
        shower.start()
        signals.on_signal = driver.send_signal
        if signals.received:
            driver.send_signal(signals.received)
        self._wait(driver, signals)
        signals.on_signal = None
        shower.join(timeout=5)
        self.log.say(f"the driver ended with exit code {driver.returncode}")
        if signals.received:
            return Interrupted.exit_code
        return driver.returncode if driver.returncode >= 0 else 128 - driver.returncode

    def _show(self, driver: subprocess.Popen[bytes]) -> None:
        assert driver.stdout is not None
        with driver.stdout, self.log_file.open("ab") as file:
            for line in driver.stdout:
                file.write(line)
                file.flush()
                sys.stdout.buffer.write(line)
                sys.stdout.flush()

    def _wait(self, driver: subprocess.Popen[bytes], signals: Signals) -> None:
        ended_by: float | None = None
        while driver.poll() is None:
            if ended_by is None and (signals.received or self.cluster_has_ended()):
                if not signals.received:
                    driver.terminate()
                ended_by = time.monotonic() + (STOPS_SOON_S if signals.end_soon else STOPS_S)
            if ended_by is not None and time.monotonic() > ended_by:
                self.log.say("the driver does not stop, and is killed")
                os.killpg(driver.pid, signal.SIGKILL)
            time.sleep(0.2)


def write_tables(experiment: Path, say: Callable[[str], None]) -> None:
    """Leave the tables of what is there beside it, also after a failure of the driver."""
    done = subprocess.run(
        [sys.executable, "-m", "raybench", "analyze", str(experiment)],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "160"},
    )
    if done.returncode != 0:
        say(f"no tables: raybench analyze {experiment} ended with {done.returncode}")
        return
    (experiment / "tables.txt").write_text(done.stdout)
    say(f"the tables are in {experiment / 'tables.txt'}")
