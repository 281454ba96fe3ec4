"""The timed region reads nothing back from the device but at its end, however long it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raybench.catalog.datasets import load_dataset
from raybench.epochs import evaluate_epoch, train_epoch
from raybench.inputs import InputPipeline, make_input
from raybench.measure.audit import StepAudit
from raybench.measure.clock import EpochClock, HostTimeline
from raybench.spec import trial_spec
from raybench.training import Trainer

CPU = torch.device("cpu")


def trainer_and_input(images: int, tmp_path: Path) -> tuple[Trainer, InputPipeline]:
    spec = trial_spec({
        "model": "small_models:small", "dataset": "synthetic", "hardware": "cpu:1",
        "image_size": 16, "batch_size": 4, "input_pipeline": "device",
    })  # fmt: skip
    data = load_dataset("synthetic", tmp_path, train_limit=images, eval_limit=10)
    return Trainer(spec, data.num_classes, CPU), make_input(spec, data.train, CPU, train=True)


@pytest.mark.parametrize("images", [8, 22])
def test_a_training_epoch_reads_back_one_value_at_its_end(images: int, tmp_path: Path) -> None:
    trainer, pipeline = trainer_and_input(images, tmp_path)
    clock, progress = EpochClock(HostTimeline()), [5]
    with StepAudit() as audit:
        time_s, loss_sum = train_epoch(trainer, pipeline, clock, number=1, progress=progress)
    assert (audit.host_reads, audit.printed) == (1, 0)
    assert progress == [5 + images]
    assert len(clock.steps_ms()) == -(-images // 4)
    assert 0 < clock.steps_ms().sum() / 1e3 <= time_s
    assert 0 < loss_sum / images < 10


@pytest.mark.parametrize("images", [8, 22])
def test_an_evaluation_reads_back_two_values_at_its_end(images: int, tmp_path: Path) -> None:
    trainer, pipeline = trainer_and_input(images, tmp_path)
    clock, progress = EpochClock(HostTimeline()), [0]
    with StepAudit() as audit:
        _, loss_sum, correct = evaluate_epoch(trainer, pipeline, clock, progress=progress)
    assert (audit.host_reads, audit.printed) == (2, 0)
    assert progress == [images]
    assert 0 <= correct <= images
    assert loss_sum > 0
