"""Training and its input: raybench's own epochs and pipelines, and the plain way of the same."""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from overhead_turns import CLASSES, Effort, Pair, in_turns

if TYPE_CHECKING:
    import torch

    from raybench.spec.trial import TrialSpec
    from raybench.trial.trainer import Trainer


class Resident:
    """An input pipeline (raybench.inputs.InputPipeline) of batches that are there already."""

    def __init__(self, batches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        self._batches = batches
        self.steps = len(batches)
        self.images = sum(len(labels) for _, labels in batches)

    def batches(self, _epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Return the batches, in the same order in every epoch."""
        return iter(self._batches)

    def transfer(self, raw: Any) -> Any:
        """Do nothing."""
        return raw

    def preprocess(self, raw: Any) -> Any:
        """Do nothing."""
        return raw

    def close(self) -> None:
        """Let go of the batches."""
        self._batches = ()


class Epochs:
    """A trial's own epochs: its trainer, clock, sampler and counter, on a given pipeline."""

    def __init__(self, spec: TrialSpec) -> None:
        from multiprocessing import RawArray

        from raybench.trial.measure.clock import EpochClock, timeline_of
        from raybench.trial.measure.power import DeviceSampler
        from raybench.trial.trainer import Trainer, device_of, set_switches

        self.spec = resolved = spec.resolved()
        set_switches(resolved)
        self.device = device_of(resolved)
        self.trainer: Trainer = Trainer(resolved, CLASSES, self.device)
        self._clock = EpochClock(timeline_of(self.device))
        self._sampler = DeviceSampler(self.device)
        self._counter = RawArray("q", 1)
        self._numbers = itertools.count(1)

    def batches(self, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return batches of noise in the spec's layout, on the device."""
        import torch

        spec, layout = self.spec, torch.contiguous_format
        if spec.memory_format == "channels_last":
            layout = torch.channels_last
        random = torch.Generator().manual_seed(0)
        shape = (spec.batch_size, 3, spec.image_size, spec.image_size)
        return [
            (
                (torch.rand(shape, generator=random) * 2 - 1).to(self.device, memory_format=layout),
                torch.randint(CLASSES, shape[:1], generator=random).to(self.device),
            )
            for _ in range(count)
        ]

    def train_s(self, pipeline: Any) -> float:
        """Return the seconds of an epoch."""
        from raybench.trial.timing import train_epoch

        with self._sampler.window():
            time_s, _ = train_epoch(
                self.trainer,
                pipeline,
                self._clock,
                number=next(self._numbers),
                counter=self._counter,
            )
        return time_s

    def images_per_s(self, pipeline: Any) -> float:
        """Return the rate of an epoch."""
        return float(pipeline.images / self.train_s(pipeline))


def spec_of(model: str, effort: Effort, **fields: Any) -> TrialSpec:
    """Return the spec of a trial on the effort's hardware, with synthetic images."""
    from raybench.spec.trial import trial_spec

    return trial_spec(
        {"model": model, "dataset": "synthetic", "hardware": effort.hardware, **fields}
    )


def epoch(model: str, effort: Effort) -> list[Pair]:
    """Seconds of a few steps: a trial's timed epoch, and a bare loop on the same batches."""
    epochs = Epochs(spec_of(model, effort))
    batches = epochs.batches(effort.steps)
    pipeline = Resident(batches)
    bare_s = _bare_loop(model, epochs.device, batches)
    return in_turns(effort.pairs, lambda: epochs.train_s(pipeline), bare_s)


def _bare_loop(
    model_name: str,
    device: torch.device,
    batches: Sequence[tuple[torch.Tensor, torch.Tensor]],
) -> Callable[[], float]:
    """Return a training loop as one writes it without raybench; it returns its seconds."""
    import torch
    import torchvision
    from torch.nn.functional import cross_entropy

    options = {"init_weights": True} if model_name == "googlenet" else {}
    model = getattr(torchvision.models, model_name)(num_classes=CLASSES, **options).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    model.train()

    def run() -> float:
        wait()
        started = time.perf_counter()
        for images, labels in batches:
            output = model(images)
            if isinstance(output, torch.Tensor):
                loss = cross_entropy(output, labels)
            else:
                heads = cross_entropy(output.aux_logits1, labels)
                heads = heads + cross_entropy(output.aux_logits2, labels)
                loss = cross_entropy(output.logits, labels) + 0.3 * heads
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        wait()
        return time.perf_counter() - started

    return run


def end_to_end(model: str, effort: Effort) -> list[Pair]:
    """Images/s of training from the device pipeline, and on one batch that is already there."""
    from raybench.catalog.datasets import load_dataset
    from raybench.settings import workspace
    from raybench.trial.input import make_input

    epochs = Epochs(spec_of(model, effort, input_pipeline="device"))
    spec = epochs.spec
    images = load_dataset(
        "synthetic", workspace(), train_limit=effort.steps * spec.batch_size, eval_limit=1
    )
    pipeline = make_input(spec, images.train, epochs.device, train=True)
    resident = Resident(epochs.batches(1) * effort.steps)
    return in_turns(
        effort.pairs,
        lambda: epochs.images_per_s(pipeline),
        lambda: epochs.images_per_s(resident),
    )


def best(model: str, effort: Effort) -> list[Pair]:
    """Images/s with the settings that autotuning chooses, and with fp32, contiguous, eager."""
    from raybench.settings import workspace
    from raybench.trial.autotune.search import resolve
    from raybench.trial.run import ignore

    found = resolve(spec_of(model, effort, execution="best"), workspace(), ignore)
    print(f"{model}: {found.chosen.title}: {found.reason}", file=sys.stderr)
    plain = {"precision": "fp32", "memory_format": "contiguous", "execution": "eager"}
    sides = []
    for settings in (found.chosen.model_dump(), plain):
        epochs = Epochs(spec_of(model, effort, **settings))
        batches = epochs.batches(effort.steps)
        epochs.trainer.accelerate(*batches[0])
        sides.append(functools.partial(epochs.images_per_s, Resident(batches)))
    return in_turns(effort.pairs, *sides)


def input_rate(shape: tuple[int, ...], effort: Effort) -> list[Pair]:
    """Images/s at 224 on one thread: the device pipeline, and the dataloader pipeline."""
    import numpy as np
    import torch

    from raybench.catalog.datasets import Split
    from raybench.spec.trial import trial_spec
    from raybench.trial.input import InputPipeline, make_input

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    split = Split(
        images=random.integers(0, 256, (effort.images, *shape), dtype=np.uint8),
        labels=random.integers(0, CLASSES, effort.images),
    )

    def pipeline(kind: str) -> InputPipeline:
        fields = {"model": "resnet18", "dataset": "synthetic", "hardware": "cpu:1"}
        spec = trial_spec({**fields, "input_pipeline": kind}).resolved()
        return make_input(spec, split, torch.device("cpu"), train=True)

    def images_per_s(pipeline: InputPipeline) -> float:
        started = time.perf_counter()
        for raw in pipeline.batches(1):
            pipeline.preprocess(pipeline.transfer(raw))
        return pipeline.images / (time.perf_counter() - started)

    device, loader = pipeline("device"), pipeline("dataloader")
    return in_turns(effort.pairs, lambda: images_per_s(device), lambda: images_per_s(loader))
