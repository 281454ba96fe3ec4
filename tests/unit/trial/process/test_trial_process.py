from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from raybench.errors import ResultsError
from raybench.record.schema import TrialRecord
from raybench.record.store import Experiment
from raybench.settings import workspace
from raybench.spec.trial import trial_spec
from raybench.trial.process.trial_process import TrialProcess

pytestmark = pytest.mark.usefixtures("records_follow_the_schema")

SMALL: dict[str, Any] = {
    "model": "small_models:small", "dataset": "digits", "hardware": "cpu:1", "epochs": 2,
    "batch_size": 32, "image_size": 16, "train_limit": 100, "eval_limit": 50, "warmup_steps": 1,
}  # fmt: skip
LIMIT_S = 120


def start(tmp_path: Path, options: Mapping[str, Any] | None = None, **fields: Any) -> TrialProcess:
    spec = trial_spec({**SMALL, **fields})
    return TrialProcess(spec, Experiment(tmp_path / "unit"), workspace(), **(options or {}))


def finish(process: TrialProcess) -> TrialRecord:
    wait_until(process, lambda: process.ended)
    return process.record()


def wait_until(process: TrialProcess, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, process.state
        process.wait(0.1)


def test_a_trial_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    process = start(tmp_path)
    record = finish(process)
    assert Experiment(tmp_path / "unit").read(record.trial_id) == record
    assert record.status == process.state.phase == "completed"
    assert process.state.epochs == record.epochs
    assert process.state.images == 300


def test_variables_are_set_before_the_trial_starts(tmp_path: Path) -> None:
    record = finish(start(tmp_path, {"variables": {"OMP_PROC_BIND": "false"}}))
    assert record.environment is not None
    assert record.environment.variables["OMP_PROC_BIND"] == "false"
    assert "OMP_PROC_BIND" not in os.environ


def test_a_killed_process_is_a_failed_record(tmp_path: Path) -> None:
    process = start(tmp_path, model="small_models:killed")
    record = finish(process)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind == "killed"
    assert "SIGKILL while in warm-up" in record.error.message
    assert "--mem" in record.error.message
    assert record.unexplained() == []
    assert process.state.phase == "failed"
    assert process.state.message == record.error.message.splitlines()[0]
    assert Experiment(tmp_path / "unit").read(record.trial_id) == record


def test_a_record_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "unit").write_text("a file where the folder should be")
    process = start(tmp_path)
    wait_until(process, lambda: process.ended)
    with pytest.raises(ResultsError, match="cannot write"):
        process.record()
    assert process.unwritten is not None
    assert process.unwritten.status == "completed"
    (tmp_path / "unit").unlink()
    record = process.record()
    assert process.unwritten is None
    assert Experiment(tmp_path / "unit").read(record.trial_id) == record


def test_a_trial_that_is_killed_in_profiling_is_complete(tmp_path: Path) -> None:
    process = start(tmp_path, model="small_models:killed_in_profiling")
    record = finish(process)
    assert record.status == process.state.phase == "completed"
    assert len(record.epochs) == 2
    assert record.phases_ms is None
    assert record.unexplained() == []
    assert Experiment(tmp_path / "unit").read(record.trial_id) == record


DIES_IN_WRITING = """
import os, signal
from pathlib import Path
from small_models import small
written = []
real = Path.replace
def replace(self, target):
    number = "{where}".count("final") + 1
    written.append(target) if str(target).endswith(".json") else None
    if len(written) == number and str(target).endswith(".json"):
        if "{where}".startswith("after"):
            real(self, target)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
def model(num_classes):
    Path.replace = replace
    return small(num_classes)
"""


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("where", ["before", "after", "before final", "after final"])
def test_the_disk_knows_what_a_trial_died_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, told: bool
) -> None:
    name = f"dies_{where.replace(' ', '_')}"
    (tmp_path / f"{name}.py").write_text(DIES_IN_WRITING.format(where=where))
    monkeypatch.syspath_prepend(tmp_path)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = start(tmp_path, {"variables": {"PYTHONPATH": path}}, model=f"{name}:model")
    wait_until(process, lambda: process.ended)
    if not told:
        process._record = None  # as if the pipe had broken before
    record = process.record()
    assert record.status == "completed"
    is_profiled = "final" in where and (told or where == "after final")
    is_profiled = is_profiled or where == "before final"  # the temporary file is whole
    assert (record.phases_ms is not None) == is_profiled
    experiment = Experiment(tmp_path / "unit")
    assert experiment.read(record.trial_id) == record
    assert not list((tmp_path / "unit" / "records").glob(".*.tmp"))


def test_a_hang_is_a_failed_record(tmp_path: Path) -> None:
    record = finish(start(tmp_path, {"stall_s": 1}, model="small_models:hangs"))
    assert record.error is not None
    assert record.error.kind == "hung"


def test_an_interrupted_trial_records_how_far_it_came(tmp_path: Path) -> None:
    process = start(tmp_path, model="small_models:endless", train_limit=1400, batch_size=1)
    wait_until(process, lambda: len(process.state.epochs) == 1)
    process.interrupt()
    record = process.record()
    assert record.status == "interrupted"
    assert len(record.epochs) == 1


def test_signals_after_the_first_do_not_disturb_the_record(tmp_path: Path) -> None:
    process = start(tmp_path, model="small_models:endless", train_limit=1400, batch_size=1)
    wait_until(process, lambda: len(process.state.epochs) == 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid, number)
    assert finish(process).status == "interrupted"


def test_no_trial_outlives_the_process_that_asked_for_it(tmp_path: Path) -> None:
    script = tmp_path / "asker.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from raybench.record.store import Experiment\n"
        "from raybench.settings import workspace\n"
        "from raybench.spec.trial import trial_spec\n"
        "from raybench.trial.process import forkserver\n"
        "from raybench.trial.process.trial_process import TrialProcess\n"
        "forkserver.PRELOADED.clear()  # a trial that ends before it trains needs no torch\n"
        f"spec = trial_spec({ {**SMALL, 'model': 'small_models:hangs'}!r})\n"
        f"experiment = Experiment(Path({str(tmp_path / 'unit')!r}))\n"
        "process = TrialProcess(spec, experiment, workspace())\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    asker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert asker.stdout is not None
    trial = psutil.Process(int(asker.stdout.readline()))
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    asker.stdout.close()
    trial.wait(timeout=LIMIT_S)
    assert not trial.is_running()
