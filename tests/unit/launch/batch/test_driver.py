"""The driver of a grid as a batch script runs it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from raybench.launch.batch import driver as module
from raybench.launch.batch.control import JobLog, Signals
from raybench.launch.batch.driver import Driver, grid_command, write_tables

READY = "import signal, sys, time\n"
WAITS = READY + "print('begun', flush=True)\ntime.sleep(600)\n"
ENDS_IN_ORDER = READY + (
    "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(3))\n"
    "print('begun', flush=True)\ntime.sleep(600)\n"
)
IS_DEAF = READY + (
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('begun', flush=True)\ntime.sleep(600)\n"
)


def driver(code: str, folder: Path, ended: Callable[[], bool] = lambda: False) -> Driver:
    return Driver(
        command=[sys.executable, "-c", code],
        head="10.0.0.1:6379",
        log_file=folder / "driver.log",
        log=JobLog(started_s=time.time()),
        cluster_has_ended=ended,
    )


def when_begun(log_file: Path, then: Callable[[], None]) -> None:
    """Do something as soon as the driver says that it has begun."""

    def wait() -> None:
        while not (log_file.exists() and "begun" in log_file.read_text()):
            time.sleep(0.01)
        then()

    threading.Thread(target=wait).start()


def test_the_command_is_that_of_a_grid() -> None:
    command = grid_command(Path("my.yaml"), ["epochs=1", "repeats=5"], Path("/results"))
    assert command[1:] == [
        *("-m", "raybench", "grid", "my.yaml"),
        *("-s", "epochs=1", "-s", "repeats=5", "--results=/results"),
    ]


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(1)", 1), ("os.abort()", 134), ("", 0)])
def test_its_output_is_shown_and_kept_and_its_exit_code_returned(
    ending: str, code: int, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = f"import os, sys\nprint(os.environ['RAY_ADDRESS'], flush=True)\n{ending}"
    assert driver(text, tmp_path).run(Signals([].append)) == code
    assert (tmp_path / "driver.log").read_text() == "10.0.0.1:6379\n"
    assert b"10.0.0.1:6379\n" in capsysbinary.readouterr().out


def test_a_signal_is_passed_on(tmp_path: Path) -> None:
    signals = Signals([].append)
    when_begun(tmp_path / "driver.log", lambda: signals.receive(signal.SIGUSR1))
    assert driver(ENDS_IN_ORDER, tmp_path).run(signals) == 130
    assert "exit code 3" not in (tmp_path / "driver.log").read_text()


def test_a_signal_before_the_driver_began_reaches_it_too(tmp_path: Path) -> None:
    signals = Signals([].append)
    signals.receive(signal.SIGTERM)
    assert driver(WAITS, tmp_path).run(signals) == 130


def test_it_ends_when_ray_has_ended_on_all_nodes(tmp_path: Path) -> None:
    log = tmp_path / "driver.log"

    def ended() -> bool:
        return log.exists() and "begun" in log.read_text()

    assert driver(WAITS, tmp_path, ended).run(Signals([].append)) == 128 + signal.SIGTERM


def test_one_that_does_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "STOPS_S", 0.3)
    signals = Signals([].append)
    when_begun(tmp_path / "driver.log", lambda: signals.receive(signal.SIGTERM))
    assert driver(IS_DEAF, tmp_path).run(signals) == 130
    assert "does not stop, and is killed" in capsys.readouterr().out


def test_no_tables_without_records(tmp_path: Path) -> None:
    said: list[str] = []
    write_tables(tmp_path, said.append)
    assert said == [f"no tables: raybench analyze {tmp_path} ended with 2"]
    assert not (tmp_path / "tables.txt").exists()
