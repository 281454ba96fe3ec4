from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raybench.errors import ResultsError, TrialFailed
from raybench.record.autotune import Autotune, StepSettings
from raybench.record.schema import TrialRecord
from raybench.record.state import EpochDone, Event, Measured, PhaseStarted, TrialEnded
from raybench.record.store import Experiment
from raybench.record.upgrades import read_record
from raybench.settings import workspace
from raybench.spec.trial import TrialSpec, trial_spec
from raybench.trial.run import run_trial

pytestmark = pytest.mark.usefixtures("records_follow_the_schema")

SMALL: dict[str, Any] = {
    "model": "small_models:small", "dataset": "digits", "hardware": "cpu:1", "epochs": 2,
    "batch_size": 32, "image_size": 16, "train_limit": 100, "eval_limit": 50, "warmup_steps": 1,
}  # fmt: skip


def measure(tmp_path: Path, spec: TrialSpec, *listening: Any, **options: Any) -> TrialRecord:
    folders = workspace(results=tmp_path, data=tmp_path)
    return run_trial(spec, Experiment(tmp_path / "unit"), folders, *listening, **options)


def run(tmp_path: Path, **fields: Any) -> TrialRecord:
    return measure(tmp_path, trial_spec({**SMALL, **fields}))


def losses(record: TrialRecord) -> list[float]:
    return [loss for epoch in record.epochs for loss in (epoch.train_loss, epoch.eval_loss)]


def test_a_trial_becomes_a_complete_record(tmp_path: Path) -> None:
    record = run(tmp_path)
    assert record.error is None, record.error
    assert record.status == "completed"
    assert record.unexplained() == []
    assert [e.epoch for e in record.epochs] == [1, 2]
    assert {(e.train_images, e.eval_images) for e in record.epochs} == {(100, 50)}
    times = [t for e in record.epochs for t in (e.train_time_s, e.eval_time_s)]
    assert record.running_time_s == pytest.approx(sum(times))
    train_s = sum(e.train_time_s for e in record.epochs)
    assert record.images_per_s == pytest.approx(200 / train_s)
    assert record.step_ms is not None
    assert record.step_ms.count == 2 * math.ceil(100 / 32)
    assert record.model is not None
    assert record.model.parameters == 3 * 8 * 9 + 8 + 72 * 10 + 10
    assert record.dataset is not None
    assert (record.dataset.origin, record.model.origin) == ("raybench", "small_models")
    assert record.environment is not None
    assert record.environment.threads == 1
    assert record.phases_ms is not None
    assert record.phases_ms.forward is not None
    assert record.compute_only_images_per_s is not None
    assert record.segments[0].last_epoch == 2


def test_the_record_on_disk_is_the_record(tmp_path: Path) -> None:
    record = run(tmp_path)
    path = Experiment(tmp_path / "unit").record_path(record.trial_id)
    assert read_record(path.read_bytes(), str(path)) == record


def test_the_steps_make_up_the_epoch(tmp_path: Path) -> None:
    record = run(tmp_path)
    path = Experiment(tmp_path / "unit").steps_path(record.trial_id)
    with np.load(path, allow_pickle=False) as archive:
        steps_ms = archive["train_step_ms"]
    assert steps_ms.shape == (2, 4)
    epochs_ms = np.array([epoch.train_time_s * 1e3 for epoch in record.epochs])
    # The epoch also holds the moment between the last step and the clock's stop.
    assert (steps_ms.sum(axis=1) <= epochs_ms).all()
    assert steps_ms.sum() > 0.5 * epochs_ms.sum()


def unprofiled(record: TrialRecord) -> TrialRecord:
    """Return the record as it was before profiling."""
    figures = dict.fromkeys(("phases_ms", "compute_only_images_per_s"))
    others = {name: why for name, why in record.missing.items() if "phases" not in name}
    bare = record.model_copy(update={**figures, "missing": others})
    return bare.with_reason("the trial ended before it was measured")


def test_a_trial_tells_its_phases_epochs_and_end_in_order(tmp_path: Path) -> None:
    events: list[Event] = []
    counter = [0]
    record = measure(tmp_path, trial_spec(SMALL), events.append, counter=counter)
    assert events == [
        *(PhaseStarted(name) for name in ("setup", "warm-up", "training")),
        *(EpochDone(epoch) for epoch in record.epochs),
        Measured(unprofiled(record)),
        PhaseStarted("profiling"),
        TrialEnded(record),
    ]
    assert counter == [300]


def test_memory_is_that_of_the_timed_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's peak is read as they end: the pass after them, which holds more, is no part."""
    events: list[Event] = []

    def peak() -> int:
        assert isinstance(events[-1], EpochDone)
        return 867 + len(events)

    monkeypatch.setattr("raybench.trial.timing.peak_host_bytes", peak)
    record = measure(tmp_path, trial_spec(SMALL), events.append)
    assert record.memory is not None
    assert record.memory.peak_host_bytes == 867 + len(["setup", "warm-up", "training", 1, 2])


def test_the_same_seed_gives_bitwise_the_same_losses(tmp_path: Path) -> None:
    first = run(tmp_path, deterministic=True)
    again = run(tmp_path, deterministic=True)
    assert losses(first) == losses(again)
    assert first.environment is not None
    assert first.environment.flags["deterministic_algorithms"] is True
    assert losses(first) != losses(run(tmp_path, deterministic=True, seed=1))


def test_warming_up_longer_changes_no_result(tmp_path: Path) -> None:
    assert losses(run(tmp_path, warmup_steps=1)) == losses(run(tmp_path, warmup_steps=9))


def test_both_pipelines_train_alike(tmp_path: Path) -> None:
    loader = run(tmp_path, input_pipeline="dataloader")
    device = run(tmp_path, input_pipeline="device")
    assert losses(device) == pytest.approx(losses(loader), rel=1e-2)


def test_worker_processes_train_alike(tmp_path: Path) -> None:
    alone = run(tmp_path, hardware="cpu:2", num_workers=0)
    helped = run(tmp_path, hardware="cpu:2", num_workers=1)
    assert helped.error is None, helped.error
    assert losses(helped) == pytest.approx(losses(alone), rel=1e-4)
    assert helped.environment is not None
    assert helped.environment.threads == 1


@pytest.mark.parametrize(
    ("change", "kind", "fragment"),
    [
        ({"model": "small_models:raises"}, "exception", "ValueError: this model raises"),
        ({"model": "small_models:diverges"}, "diverged", "smaller learning_rate"),
        ({"model": "small_models:out_of_memory"}, "out_of_memory", "smaller batch_size"),
        ({"model": "no_such_module:build"}, "spec", "cannot import"),
        ({"dataset": "mnist", "train_limit": None, "eval_limit": None}, "data", "data fetch mnist"),
    ],
)
def test_what_goes_wrong_is_the_record(
    tmp_path: Path, change: dict[str, Any], kind: str, fragment: str
) -> None:
    record = run(tmp_path, **change)
    assert record.status == "failed"
    assert record.error is not None
    assert record.error.kind == kind
    assert fragment in record.error.message
    assert record.running_time_s is None
    assert record.unexplained() == []


def test_a_gpu_that_is_not_there_is_the_record(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    record = run(tmp_path, hardware="P100")
    assert record.error is not None
    assert record.error.kind == "hardware"
    assert "sees no GPU" in record.error.message


def test_a_simulated_gpu_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBENCH_SIMULATED_GPU", "1")
    record = run(tmp_path, hardware="K80")
    assert record.status == "completed"
    assert record.hardware is not None
    assert not record.hardware.verified
    assert "simulated" in (record.hardware.detected or "")
    assert "unverified_hardware" in {warning.kind for warning in record.warnings}


def test_an_interruption_keeps_the_epochs_that_are_complete(tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    record = measure(tmp_path, trial_spec(SMALL), interrupt)
    assert record.status == "interrupted"
    assert len(record.epochs) == 1
    assert record.running_time_s is None
    assert record.unexplained() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("this profiling fails")])
def test_what_cuts_the_profiling_short_leaves_the_timing_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    experiment = Experiment(tmp_path / "unit")

    def cut_short(_: Any) -> None:
        assert experiment.is_complete(trial_spec(SMALL))  # already, with its steps
        assert experiment.steps_path(trial_spec(SMALL).trial_id).exists()
        raise error

    monkeypatch.setattr("raybench.trial.run.profile", cut_short)
    record = run(tmp_path)
    assert (record.status, record.error) == ("completed", None)
    assert record.phases_ms is record.compute_only_images_per_s is None
    assert "cut short" in record.missing["phases_ms"]
    assert record.unexplained() == []
    assert experiment.read(record.trial_id) == record
    assert experiment.attempts() == {}


def test_a_record_is_told_of_before_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "unit").write_text("a file where the folder should be")
    events: list[Event] = []
    with pytest.raises(ResultsError, match="cannot write"):
        measure(tmp_path, trial_spec(SMALL), events.append)
    assert isinstance(events[-1], TrialEnded)
    assert events[-1].record.status == "completed"
    assert events[-1].record.phases_ms is not None


def test_steps_that_cannot_be_written_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit" / "steps").write_text("in the way")
    record = run(tmp_path)
    assert record.status == "completed"
    [warning] = [each for each in record.warnings if each.kind == "no_steps"]
    assert "steps" in warning.message
    assert Experiment(tmp_path / "unit").read(record.trial_id) == record


def test_a_lesser_attempt_leaves_the_steps_of_the_better_one(tmp_path: Path) -> None:
    complete = run(tmp_path)
    experiment = Experiment(tmp_path / "unit")
    steps = experiment.steps_path(complete.trial_id).read_bytes()

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    later = measure(tmp_path, trial_spec(SMALL), interrupt, started_at="2036-01-01T12:00:00Z")
    assert (later.status, later.started_at) == ("interrupted", "2036-01-01T12:00:00Z")
    assert experiment.read(complete.trial_id) == complete
    assert experiment.steps_path(complete.trial_id).read_bytes() == steps
    assert experiment.attempts() == {complete.trial_id: 1}


def test_a_model_that_disturbs_the_clock_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run(tmp_path, model="small_models:chatty")
    assert record.status == "completed"
    messages = [w.message for w in record.warnings if w.kind == "disturbed_clock"]
    assert len(messages) == 2
    assert "reads 1 value" in messages[0]
    assert "prints" in messages[1]
    assert "mean" in capsys.readouterr().out


@pytest.mark.parametrize(("load", "kinds"), [(1e4, {"busy_node"}), (0.0, set())])
def test_a_busy_node_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: float, kinds: set[str]
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    record = run(tmp_path)
    loads = [w for w in record.warnings if "load was" in w.message]
    assert {warning.kind for warning in loads} == kinds
    assert record.contention is not None
    assert record.contention.load_average == load


def test_a_model_that_learned_nothing_is_named(tmp_path: Path) -> None:
    record = run(tmp_path, model="small_models:blind")
    assert "no_learning" in {warning.kind for warning in record.warnings}


def test_a_model_that_learned_is_not(tmp_path: Path) -> None:
    record = run(tmp_path, train_limit=1000, eval_limit=300, learning_rate=0.1, epochs=3)
    assert "no_learning" not in {warning.kind for warning in record.warnings}
    assert record.epochs[-1].accuracy > 0.3


def test_an_epoch_of_one_step_leaves_no_phases_and_says_so(tmp_path: Path) -> None:
    record = run(tmp_path, train_limit=20)
    assert record.phases_ms is None
    assert "one step" in record.missing["phases_ms"]
    assert record.unexplained() == []


def test_the_written_record_is_plain_json(tmp_path: Path) -> None:
    record = run(tmp_path)
    text = Experiment(tmp_path / "unit").record_path(record.trial_id).read_text()
    assert "NaN" not in text
    assert json.loads(text)["spec"]["model"] == "small_models:small"


def test_a_trial_is_executed_as_its_autotune_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = StepSettings(
        precision="bf16", memory_format="channels_last", execution="eager",
        fused_optimizer=False, cudnn_benchmark=False, batch_size=25,
    )  # fmt: skip
    found = Autotune(chosen=settings, reason="", candidates=(), time_s=1.0, hostname="here")
    events: list[Event] = []

    def resolved(_spec: Any, _experiment: Any, _workspace: Any, listen: Any) -> Autotune:
        listen(PhaseStarted("autotune: one way"))
        return found

    monkeypatch.setattr("raybench.trial.run.autotune", resolved)
    spec = trial_spec({**SMALL, "execution": "best", "batch_size": "largest"})
    record = measure(tmp_path, spec, events.append)
    assert record.error is None, record.error
    assert (record.spec, record.trial_id) == (spec, spec.trial_id)
    assert record.autotune == found
    assert record.unexplained() == []
    assert record.step_ms is not None
    assert record.step_ms.count == 2 * 4
    assert events[0] == PhaseStarted("autotune: one way")
    alike = run(tmp_path, **settings.model_dump())
    assert losses(alike) == losses(record)
    assert alike.missing["autotune"] == "the spec names the execution and the batch size"


def test_an_autotune_that_fails_is_the_trials_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: Any, **_options: Any) -> Autotune:
        raise TrialFailed("autotune", "the plain way failed")

    monkeypatch.setattr("raybench.trial.run.autotune", fails)
    record = run(tmp_path, execution="best")
    assert record.error is not None
    assert (record.status, record.error.kind) == ("failed", "autotune")
    assert record.unexplained() == []
