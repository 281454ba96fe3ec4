"""The timed region: what it times to the nanosecond, and what it never does inside the clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from scripted_device import ScriptedDevice

from raybench.catalog.datasets import load_dataset
from raybench.record.noted import Missing, Noted
from raybench.record.schema import DeviceTelemetry
from raybench.settings import workspace
from raybench.spec.trial import trial_spec
from raybench.system.facts import Contention
from raybench.trial.input import InputPipeline, make_input
from raybench.trial.measure.audit import StepAudit
from raybench.trial.measure.clock import EpochClock, HostTimeline
from raybench.trial.timing import _memory, _warnings, evaluate_epoch, train_epoch
from raybench.trial.trainer import Trainer

CPU = torch.device("cpu")


def trainer_and_input(images: int, tmp_path: Path) -> tuple[Trainer, InputPipeline]:
    spec = trial_spec({
        "model": "small_models:small", "dataset": "synthetic", "hardware": "cpu:1",
        "image_size": 16, "batch_size": 4, "input_pipeline": "device",
    }).resolved()  # fmt: skip
    data = load_dataset("synthetic", workspace(data=tmp_path), train_limit=images, eval_limit=10)
    return Trainer(spec, data.num_classes, CPU), make_input(spec, data.train, CPU, train=True)


@pytest.mark.parametrize("images", [8, 22])
def test_a_training_epoch_reads_back_one_value_at_its_end(images: int, tmp_path: Path) -> None:
    trainer, pipeline = trainer_and_input(images, tmp_path)
    clock, counter = EpochClock(HostTimeline()), [5]
    with StepAudit() as audit:
        time_s, loss_sum = train_epoch(trainer, pipeline, clock, number=1, counter=counter)
    assert (audit.host_reads, audit.printed) == (1, 0)
    assert counter == [5 + images]
    assert len(clock.steps_ms()) == -(-images // 4)
    assert 0 < clock.steps_ms().sum() / 1e3 <= time_s
    assert 0 < loss_sum / images < 10


@pytest.mark.parametrize("images", [8, 22])
def test_an_evaluation_reads_back_two_values_at_its_end(images: int, tmp_path: Path) -> None:
    trainer, pipeline = trainer_and_input(images, tmp_path)
    clock, counter = EpochClock(HostTimeline()), [0]
    with StepAudit() as audit:
        _, loss_sum, correct = evaluate_epoch(trainer, pipeline, clock, counter=counter)
    assert (audit.host_reads, audit.printed) == (2, 0)
    assert counter == [images]
    assert 0 <= correct <= images
    assert loss_sum > 0


class ScriptedTraining:
    """Pipeline and trainer in one, whose every part takes a known time on a scripted device."""

    images, steps = 25, 3

    def __init__(self, device: ScriptedDevice) -> None:
        self.scripted, self.device, self.model = device, CPU, torch.nn.Identity()

    def batches(self, _epoch: int) -> Iterator[int]:
        for count in (10, 10, 5):
            self.scripted.host_waits(3.0)  # for data
            yield count

    def transfer(self, raw: int) -> int:
        self.scripted.launch(1.0, launch_ms=0)
        return raw

    def preprocess(self, raw: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.scripted.launch(2.0, launch_ms=0)
        return torch.zeros(raw), torch.zeros(raw, dtype=torch.int64)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.scripted.launch(1.5 * len(images), launch_ms=0)
        return torch.tensor(2.0)

    def evaluate(self, images: torch.Tensor, labels: torch.Tensor) -> Any:
        self.scripted.launch(0.5 * len(images), launch_ms=0)
        return torch.tensor(2.0 * len(images)), torch.tensor(len(images) - 1)


def test_a_scripted_training_epoch_takes_exactly_its_script() -> None:
    device = ScriptedDevice()
    script: Any = ScriptedTraining(device)
    clock = EpochClock(device, device.now_ns)
    device.launch(700.0)  # of the epoch before: not part of this one
    time_s, loss_sum = train_epoch(script, script, clock, number=1, counter=[0])
    # The first wait for data finds the device idle; the next two pass behind its kernels.
    assert clock.steps_ms() == pytest.approx([3 + 18, 18, 10.5])
    assert time_s == pytest.approx(0.0495)
    assert loss_sum == pytest.approx(2.0 * 25)


def test_a_scripted_evaluation_takes_exactly_its_script() -> None:
    device = ScriptedDevice()
    script: Any = ScriptedTraining(device)
    clock = EpochClock(device, device.now_ns)
    time_s, loss_sum, correct = evaluate_epoch(script, script, clock, counter=[0])
    assert clock.steps_ms() == pytest.approx([3 + 8, 8, 5.5])
    assert time_s == pytest.approx(0.0245)
    assert (loss_sum, correct) == (pytest.approx(50.0), 22)


# -- what is measured beside the epochs ----------------------------------------------------------


def test_memory_of_a_gpu_is_torchs_and_of_a_cpu_has_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_cpu = _memory(CPU)
    assert on_cpu.part.peak_allocated_bytes is on_cpu.part.peak_reserved_bytes is None
    assert set(on_cpu.reasons) == {"peak_allocated_bytes", "peak_reserved_bytes"}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: 900)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _device: 1200)
    on_gpu = _memory(torch.device("cuda", 0))
    assert (on_gpu.part.peak_allocated_bytes, on_gpu.part.peak_reserved_bytes) == (900, 1200)
    assert on_gpu.reasons == {}


@pytest.mark.parametrize(
    ("others", "load", "reasons", "kinds"),
    [
        (0, 0.5, (), []),
        (2, 0.5, (), ["contended"]),
        (None, 1e4, (), ["busy_node"]),
        (0, None, ("sw_power_cap", "hw_slowdown"), ["throttled"]),
        (1, 1e4, ("sw_power_cap",), ["busy_node", "contended", "throttled"]),
    ],
)
def test_what_disturbed_the_epochs_is_warned_of(
    others: int | None, load: float | None, reasons: tuple[str, ...], kinds: list[str]
) -> None:
    contention = Contention(co_located_trials=others, load_average=load)
    telemetry = DeviceTelemetry.model_construct(throttle_reasons=reasons)
    warnings = _warnings(contention, Noted(telemetry, {}))
    assert [warning.kind for warning in warnings] == kinds
    assert all(reason in warnings[-1].message for reason in reasons)


def test_a_device_that_is_not_watched_is_not_throttled() -> None:
    contention = Contention(co_located_trials=0, load_average=0.0)
    assert _warnings(contention, Missing("measured on a CPU")) == ()
