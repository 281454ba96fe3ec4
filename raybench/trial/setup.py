"""What a trial needs before its first step: the device, the images, the trainer, its inputs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from raybench.catalog.datasets import DATASETS, ImageSet, load_dataset
from raybench.record.noted import Noted
from raybench.record.schema import DatasetFacts, WarningFacts
from raybench.settings import Workspace
from raybench.spec.trial import ResolvedSpec
from raybench.system.facts import EnvironmentFacts, HardwareFacts
from raybench.system.software import describe_environment
from raybench.system.variables import interfering_variables
from raybench.system.verify import describe_hardware
from raybench.trial.input import InputPipeline, make_input
from raybench.trial.measure.clock import Timeline, timeline_of
from raybench.trial.trainer import Trainer, device_of, set_switches


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a trial runs, with torch's switches set as its spec says.

    Attributes:
        device: what the model is trained on.
        timeline: the device's own time.
        hardware: the label against the device.
        environment: node and software.
        warnings: what a reader of the figures has to know of them.
        started_s: when the set-up began, on the monotonic clock.
    """

    device: torch.device
    timeline: Timeline
    hardware: Noted[HardwareFacts]
    environment: Noted[EnvironmentFacts]
    warnings: tuple[WarningFacts, ...]
    started_s: float


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything that the steps of a trial need.

    Attributes:
        spec: what is measured.
        machine: where.
        dataset: the images that are used.
        chance: share of the most frequent class among the evaluation images, 0 to 1.
        trainer: the model and its optimizer.
        train_input: the training images.
        eval_input: the evaluation images.
        seconds: what it took to get here.
    """

    spec: ResolvedSpec
    machine: Machine
    dataset: DatasetFacts
    chance: float
    trainer: Trainer
    train_input: InputPipeline
    eval_input: InputPipeline
    seconds: float


def prepare_machine(spec: ResolvedSpec) -> Machine:
    """Set torch's switches, and compare the device with the label that promised it.

    Raises:
        HardwareError: there is no such device, or it contradicts the label.
    """
    started_s = time.perf_counter()
    set_switches(spec)
    device = device_of(spec)
    hardware = Noted(
        *describe_hardware(
            spec.hardware, device, verify=spec.verify_hardware, workers=spec.num_workers
        )
    )
    return Machine(
        device=device,
        timeline=timeline_of(device),
        hardware=hardware,
        environment=Noted(*describe_environment()),
        warnings=_warnings(hardware.part),
        started_s=started_s,
    )


def _warnings(hardware: HardwareFacts) -> tuple[WarningFacts, ...]:
    unverified = WarningFacts(
        kind="unverified_hardware",
        message=f"the hardware was not verified: {hardware.requested} was promised, "
        f"{hardware.detected or 'nothing that could be named'} was found",
    )
    interfering = [
        WarningFacts(kind="interfering_variable", message=problem)
        for problem in interfering_variables()
    ]
    return (*(() if hardware.verified else (unverified,)), *interfering)


@contextmanager
def set_up(spec: ResolvedSpec, workspace: Workspace, machine: Machine) -> Iterator[Setup]:
    """Load the images and build the trainer; its input's worker processes end on leaving.

    Raises:
        DataError: the dataset is absent or damaged.
        SpecError: the model cannot be built.
    """
    images = load_dataset(
        spec.dataset, workspace, train_limit=spec.train_limit, eval_limit=spec.eval_limit
    )
    trainer = Trainer(spec, images.num_classes, machine.device)
    with (
        closing(make_input(spec, images.train, machine.device, train=True)) as train_input,
        closing(make_input(spec, images.eval, machine.device, train=False)) as eval_input,
    ):
        machine.timeline.synchronize()
        yield Setup(
            spec=spec,
            machine=machine,
            dataset=_dataset_facts(spec, images),
            chance=float(np.bincount(images.eval.labels).max() / len(images.eval.labels)),
            trainer=trainer,
            train_input=train_input,
            eval_input=eval_input,
            seconds=time.perf_counter() - machine.started_s,
        )


def _dataset_facts(spec: ResolvedSpec, images: ImageSet) -> DatasetFacts:
    return DatasetFacts(
        name=spec.dataset,
        fingerprint=images.fingerprint,
        train_images=len(images.train.labels),
        eval_images=len(images.eval.labels),
        origin=DATASETS.origin(spec.dataset),
    )
