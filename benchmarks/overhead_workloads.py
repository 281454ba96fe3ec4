"""What ``overhead.py`` measures: each function runs two sides in turns and returns the pairs."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from raybench.spec.trial import TrialSpec
    from raybench.trial.trainer import Trainer

Pair = tuple[float, float | None]
"""raybench's figure, and the other side's of the same turn, or None where there is no other."""

HERE = Path(__file__).parent
CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much to measure, and on what.

    Attributes:
        hardware: the label that trials are given.
        pairs: turns of both sides.
        steps: training steps on each side of a turn; few, so that both see the same noise.
        images: images through an input pipeline on each side of a turn.
        starts: trials that follow another, on each side of the comparison of their starts.
        trial_s: seconds that each trial of a grid of twelve takes at least.
        epoch_images: images that each epoch of those trains on.
        trials: of a large grid.
        timm: a checkout of timm's repository, if there is one.
    """

    hardware: str
    pairs: int = 20
    steps: int = 2
    images: int = 400
    starts: int = 10
    trial_s: float = 60.0
    epoch_images: int = 500
    trials: int = 2000
    timm: Path | None = None


def effort(hardware: str | None, *, quick: bool, timm: Path | None = None) -> Effort:
    """Return the usual effort, or one of seconds; hardware None is what this machine is.

    Raises:
        RaybenchError: there is no such hardware, or the checkout of timm is none.
    """
    from raybench.catalog.hardware import canonical_label
    from raybench.errors import SpecError
    from raybench.system.verify import default_hardware

    if timm and not (timm / "benchmark.py").is_file():
        raise SpecError(
            f"{timm} holds no benchmark.py",
            allowed="a checkout of https://github.com/huggingface/pytorch-image-models",
        )
    hardware = canonical_label(hardware) if hardware else default_hardware()
    if quick:
        few = {"pairs": 2, "steps": 1, "images": 20, "starts": 2, "trials": 4}
        return Effort(hardware=hardware, trial_s=0.5, epoch_images=50, timm=timm, **few)
    return Effort(hardware=hardware, timm=timm)


def in_turns(pairs: int, ours: Callable[[], float], theirs: Callable[[], float]) -> list[Pair]:
    """Measure both sides in turns, each first in every other turn, after one turn to warm up."""
    ours(), theirs()
    found: list[Pair] = []
    for number in range(pairs):
        if number % 2:
            other = theirs()
            found.append((ours(), other))
        else:
            found.append((ours(), theirs()))
    return found


# -- training steps --------------------------------------------------------------------------


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
    """Images/s with the settings that a tune-up chooses, and with fp32, contiguous, eager."""
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


# -- input -----------------------------------------------------------------------------------


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


# -- from one trial to the next --------------------------------------------------------------


@functools.cache
def trial_start(effort: Effort) -> list[Pair]:
    """Seconds from the end of a trial to the first step of the next: a grid's, and plain Tune's.

    Both train the model of ``start_model.py`` one after the other; the starts of two runs of
    each are paired in their order.
    """
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(2):
        ours += _gaps(_grid_times, effort.starts // 2)
        theirs += _gaps(_plain_times, effort.starts // 2)
    return list(zip(ours, theirs, strict=True))


def _gaps(run: Callable[[Path, int], tuple[list[float], list[float]]], gaps: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        starts, ends = run(Path(folder), gaps + 1)
    return [start - end for end, start in zip(sorted(ends), sorted(starts)[1:], strict=False)]


def _grid_times(folder: Path, trials: int) -> tuple[list[float], list[float]]:
    """Run trials with ``raybench grid``; a trial ends when its record is written."""
    grid = folder / "start.yaml"
    grid.write_text(
        "model: start_model:build\ndataset: synthetic\nhardware: cpu:1\nisolation: node\n"
        f"image_size: 16\nepochs: 1\ntrain_limit: 20\neval_limit: 10\nrepeats: {trials}\n"
    )
    run_command(
        [sys.executable, "-m", "raybench", "grid", grid, "--results", folder],
        variables=times_in(folder),
    )
    records = folder.glob("start/records/*.json")
    return noted(folder, "start"), [record.stat().st_mtime for record in records]


def _plain_times(folder: Path, trials: int) -> tuple[list[float], list[float]]:
    """Run trials as a plain Tune function, which notes its end itself."""
    run_command(
        [sys.executable, HERE / "plain_tune.py", folder, str(trials)],
        variables=times_in(folder),
    )
    return noted(folder, "start"), noted(folder, "end")


def times_in(folder: Path) -> dict[str, object]:
    """Return the variable that names the file of ``start_model.note`` in a folder."""
    return {"START_TIMES": folder / "times"}


def noted(folder: Path, what: str) -> list[float]:
    """Return the times that ``start_model.note`` wrote for a word."""
    lines = (line.split() for line in (folder / "times").read_text().splitlines())
    return [float(time_s) for name, time_s in lines if name == what]


# -- commands --------------------------------------------------------------------------------


def help_s(effort: Effort) -> list[Pair]:
    """Seconds of ``raybench --help``."""
    return _command_s(effort, "--help")


def plan_s(effort: Effort) -> list[Pair]:
    """Seconds of ``raybench plan`` for the paper's grid."""
    return _command_s(effort, "plan", HERE.parent / "experiments" / "paper.yaml", expected=(0, 1))


def analyze_s(effort: Effort) -> list[Pair]:
    """Seconds of ``raybench analyze`` for twelve records."""
    with _twelve_records() as folder:
        return _command_s(effort, "analyze", folder)


def _command_s(
    effort: Effort, *arguments: str | Path, expected: Sequence[int] = (0,)
) -> list[Pair]:
    command = [sys.executable, "-m", "raybench", *arguments]
    found: list[Pair] = []
    for _ in range(effort.pairs + 1):
        started = time.perf_counter()
        run_command(command, expected)
        found.append((time.perf_counter() - started, None))
    return found[1:]  # the first one reads the files from the disk


@contextmanager
def _twelve_records() -> Iterator[Path]:
    """Write records of the paper's twelve trials, with made-up figures."""
    from raybench.record.schema import Epoch, TrialRecord
    from raybench.record.store import Experiment, utc_now
    from raybench.spec.grid import load_grid

    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(Path(folder, "paper"))
        for number, spec in enumerate(load_grid(HERE.parent / "experiments" / "paper.yaml").plan()):
            epoch_s = 100.0 + number
            epochs = tuple(
                Epoch(
                    epoch=epoch,
                    train_time_s=epoch_s,
                    eval_time_s=10.0,
                    train_images=60_000,
                    eval_images=10_000,
                    train_loss=1 / epoch,
                    eval_loss=1 / epoch,
                    accuracy=1 - 1 / (epoch + 1),
                )
                for epoch in range(1, spec.epochs + 1)
            )
            record = TrialRecord(
                trial_id=spec.trial_id,
                experiment=experiment.name,
                started_at=utc_now(),
                spec=spec,
                status="completed",
                running_time_s=spec.epochs * (epoch_s + 10.0),
                images_per_s=60_000 / epoch_s,
                epochs=epochs,
            )
            experiment.write(record.with_reason("made up, to time the analysis"))
        yield experiment.folder


def run_command(
    command: Sequence[str | Path],
    expected: Sequence[int] = (0,),
    variables: Mapping[str, object] | None = None,
) -> str:
    """Run a command with these environment variables, and return what it printed.

    Raises:
        SystemExit: it failed, with what it said.
    """
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    given = {name: str(value) for name, value in (variables or {}).items()}
    environ = {**os.environ, "PYTHONPATH": path, **given}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode not in expected:
        said = f"{done.stdout}{done.stderr}".strip()
        raise SystemExit(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{said}")
    return done.stdout
