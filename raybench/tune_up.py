"""What a spec leaves open is decided by trying: the fastest execution, the largest batch.

``execution: best`` tries the combinations of precision, memory format, execution and optimizer
that the hardware supports, each for a few steps on one batch that is on the device, and takes the
fastest whose losses agree with those of the plain way: fp32, contiguous, eager. ``batch_size:
largest`` takes the largest batch that the device's memory holds. Every attempt runs in a clean
process of its own, so that none leaves anything to the next one, or to the trial.
"""

from __future__ import annotations

import itertools
import math
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psutil
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from raybench.catalog.datasets import DATASETS, load_dataset
from raybench.errors import RaybenchError, SpecError, TrialFailed
from raybench.inputs import make_input
from raybench.measure.clock import EpochClock, timeline_of
from raybench.processes import CallFailedError, ProcessDiedError, call
from raybench.record import Attempt, Settings, TuneUp
from raybench.spec import MemoryFormat, Precision, TrialSpec
from raybench.store import Experiment, write_once
from raybench.training import Trainer, device_of, is_out_of_memory, set_switches

AGREEMENT_STEPS = 8
"""Training steps from the initial weights whose losses are compared."""

FIRST_LOSS_TOLERANCE = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 1e-2, "fp16": 1e-2}
"""How far the first step's loss may be from that of fp32, contiguous, eager; relative.

Seen on a CPU for ResNet-18 and GoogLeNet, batch 10, 64 and 224 pixels: 1e-5 for another memory
format, 3e-3 for bf16, which rounds to 8 bits.
"""

FALL_TOLERANCE = 0.5
"""How far the loss's fall over the steps may be from that of fp32, contiguous, eager; relative.

Wide, because batch normalisation over ten images doubles any difference from step to step: another
memory format alone was seen to change the sixth loss by 15 %. A step that does not train is off
by 1.
"""

TIMED_S = 2.0
"""Seconds after which an attempt has seen enough steps, once they are a few."""
TIMED_STEPS = (5, 50)
"""Fewest and most timed steps of an attempt."""

ATTEMPT_TIMEOUT_S = 1200.0
"""Compiling a large model takes minutes; longer than this is a hang."""

HEADROOM = 0.95
"""Share of a GPU's memory that the largest batch may fill: allocators fragment over an epoch."""

HOST_SHARE = 0.5
"""Share of the host's free memory that the largest batch may fill on cpu:N."""

FITS, FITS_NOT = "fits", "does not fit"


@dataclass(frozen=True, kw_only=True)
class _Result:
    """Images/s of the median step, the first loss, and how far it fell."""

    images_per_s: float
    first_loss: float
    loss_fall: float


def decide(
    spec: TrialSpec,
    experiment: Experiment,
    data_root: Path,
    tell: Callable[[str], None] = lambda _what: None,
    *,
    again: bool = False,
) -> TuneUp:
    """Decide what a spec leaves open, once for all its repeats in an experiment.

    Args:
        spec: with ``execution: best``, ``batch_size: largest`` or both.
        experiment: keeps what was decided, so that all repeats are executed alike.
        data_root: where the datasets lie.
        tell: is told what is tried, before each attempt.
        again: whether to forget what was decided before.

    Raises:
        TrialFailed: not even the plain way works.
        ResultsError: the experiment's folder cannot be written.
    """
    path = experiment.tune_up_path(spec, f"torch {torch.__version__}")
    if again:
        path.unlink(missing_ok=True)
    if (known := _read(path)) is not None:
        return known
    found = tune_up(spec, data_root, tell)
    kept = write_once(path, found.model_dump_json(indent=1).encode() + b"\n")
    return TuneUp.model_validate_json(kept)


def _read(path: Path) -> TuneUp | None:
    """Return what was decided before; a damaged file does not count, and goes."""
    try:
        return TuneUp.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        path.unlink(missing_ok=True)
        return None


def tune_up(
    spec: TrialSpec, data_root: Path, tell: Callable[[str], None] = lambda _what: None
) -> TuneUp:
    """Try what the spec leaves open; see ``decide``.

    Raises:
        TrialFailed: not even the plain way works.
    """
    started = time.perf_counter()
    bench = _Bench(spec=spec, data_root=data_root, tell=tell)
    largest = spec.batch_size == "largest"
    batch_size = 1 if largest else spec.images_per_step
    settings = _plain(spec, batch_size)
    reasons = []
    if largest:
        settings = bench.with_largest_batch(settings)
    if spec.execution == "best":
        settings, reason = bench.fastest(settings)
        reasons.append(reason)
        if largest:
            settings = bench.with_largest_batch(settings, known=settings.batch_size)
    if largest:
        reasons.append(bench.why_largest(settings))
    return TuneUp(
        chosen=settings,
        reason="; ".join(reasons),
        attempts=tuple(bench.attempts),
        time_s=time.perf_counter() - started,
        hostname=socket.gethostname(),
    )


def _plain(spec: TrialSpec, batch_size: int) -> Settings:
    """Return what the spec says, with what every device can do for what it leaves open."""
    return Settings(
        precision=spec.precision,
        memory_format=spec.memory_format,
        execution="eager" if spec.execution == "best" else spec.execution,
        fused_optimizer=spec.fused_optimizer,
        cudnn_benchmark=spec.cudnn_benchmark,
        batch_size=batch_size,
    )


@dataclass
class _Bench:
    """A tune-up under way."""

    spec: TrialSpec
    data_root: Path
    tell: Callable[[str], None]
    attempts: list[Attempt] = field(default_factory=list)

    # -- the fastest execution -----------------------------------------------------------------

    def fastest(self, plain: Settings) -> tuple[Settings, str]:
        """Return the fastest settings whose losses agree with the plain ones', and why.

        All precisions and formats are tried, eagerly and as a captured graph; then the fastest
        of them with what is worth a little everywhere, and compiled, which takes the longest to
        try.
        """
        reference = self._measure(plain)
        if isinstance(reference, str):
            raise TrialFailed(
                "tune_up",
                f"the tune-up's plain way ({plain.title}) failed: {reference}",
                cure="name an execution and a batch size that work",
            )
        best, best_rate = plain, reference.images_per_s
        rates = {plain: best_rate}
        self._note(plain, reference, "slower")

        def consider(settings: Settings) -> None:
            nonlocal best, best_rate
            result = self._measure(settings)
            if isinstance(result, str):
                self._note(settings, None, f"failed: {result}")
            elif not _agree(result, reference, settings.precision):
                self._note(settings, result, "losses differ")
            else:
                self._note(settings, result, "slower")
                rates[settings] = result.images_per_s
                if result.images_per_s > best_rate:
                    best, best_rate = settings, result.images_per_s

        for settings in self._combinations(plain):
            consider(settings)
        for change in (
            {"cudnn_benchmark": True},
            {"fused_optimizer": True},
            {"execution": "compile"},
        ):
            for settings in self._possible(best, change):
                consider(settings)
        self._mark(best, "chosen")
        reason = (
            f"{best_rate:.1f} images/s, the fastest of {len(rates)} whose losses agree; "
            f"{plain.title}: {reference.images_per_s:.1f}"
        )
        return best, reason

    def _combinations(self, plain: Settings) -> Iterator[Settings]:
        ways = itertools.product(
            ("eager", "cudagraph"), get_args(Precision), get_args(MemoryFormat)
        )
        for execution, precision, memory_format in ways:
            change = {
                "execution": execution,
                "precision": precision,
                "memory_format": memory_format,
            }
            yield from self._possible(plain, change)

    def _possible(self, settings: Settings, change: dict[str, Any]) -> Iterator[Settings]:
        """Yield the changed settings if the hardware supports them and they are new."""
        changed = settings.model_copy(update=change)
        try:
            self.spec.decided(**changed.model_dump())
        except SpecError:
            return
        if changed not in [attempt.settings for attempt in self.attempts]:
            yield changed

    def _measure(self, settings: Settings) -> _Result | str:
        """Return what an attempt gave, or why it gave nothing."""
        result = self._call(try_settings, settings)
        return result if isinstance(result, _Result) else str(result)

    # -- the largest batch ---------------------------------------------------------------------

    def with_largest_batch(self, settings: Settings, known: int = 0) -> Settings:
        """Return the settings with the largest batch that fits; ``known`` is one that may well."""

        def fits(batch_size: int) -> bool:
            tried = settings.model_copy(update={"batch_size": batch_size})
            problem = self._call(try_batch, tried)
            if problem not in (None, FITS_NOT):
                raise TrialFailed("tune_up", f"{tried.title} failed: {problem}")
            self._note(tried, None, FITS_NOT if problem else FITS)
            return not problem

        # Other settings need other memory, so that what fitted before is asked again.
        found = largest(fits, self._most_images, known if known and fits(known) else 0)
        if not found:
            raise TrialFailed(
                "tune_up",
                f"not even one image of {self.spec.image_size}×{self.spec.image_size} fits",
                cure="a smaller image_size, or hardware with more memory",
            )
        return settings.model_copy(update={"batch_size": found})

    @property
    def _most_images(self) -> int:
        row = DATASETS[self.spec.dataset]
        return min(self.spec.train_limit or row.train_images, row.train_images)

    def why_largest(self, settings: Settings) -> str:
        """Say what bounds the batch."""
        if settings.batch_size == self._most_images:
            return f"batch {settings.batch_size}: all training images fit in one"
        return f"batch {settings.batch_size}: the largest that fits, within 3 %"

    # -- attempts ------------------------------------------------------------------------------

    def _call(self, attempt: Callable[[TrialSpec, Path], Any], settings: Settings) -> Any:
        """Return what an attempt returned in a process of its own, or why it failed."""
        self.tell(settings.title)
        spec = self.spec.decided(**settings.model_dump())
        try:
            return call(attempt, spec, self.data_root, timeout_s=ATTEMPT_TIMEOUT_S)
        except ProcessDiedError as error:
            killed = "SIGKILL" in str(error) and attempt is try_batch
            return FITS_NOT if killed else f"its process {error}"
        except RaybenchError as error:
            return error.what
        except CallFailedError as error:
            return str(error)

    def _note(self, settings: Settings, result: _Result | None, outcome: str) -> None:
        self.attempts.append(
            Attempt(
                settings=settings,
                images_per_s=result and result.images_per_s,
                first_loss=result and _finite(result.first_loss),
                loss_fall=result and _finite(result.loss_fall),
                outcome=outcome,
            )
        )

    def _mark(self, settings: Settings, outcome: str) -> None:
        self.attempts = [
            a.model_copy(update={"outcome": outcome})
            if a.settings == settings and a.images_per_s is not None
            else a
            for a in self.attempts
        ]


def largest(fits: Callable[[int], bool], most: int, known: int = 0) -> int:
    """Return the largest number up to ``most`` that fits, within 1/32 of it; 0 if none does.

    Args:
        fits: is asked for ever larger numbers, then between the last that fitted and the first
            that did not.
        most: the largest number to ask for.
        known: one that fits, to begin at.
    """
    good, bad = known, most + 1
    tried = max(1, 2 * known)
    while good < most and bad > most:
        tried = min(tried, most)
        if fits(tried):
            good, tried = tried, 2 * tried
        else:
            bad = tried
    while bad - good > max(1, good // 32):
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good


def _agree(result: _Result, plain: _Result, precision: str) -> bool:
    first = abs(result.first_loss - plain.first_loss)
    fall = abs(result.loss_fall - plain.loss_fall)
    return first <= FIRST_LOSS_TOLERANCE[precision] * abs(plain.first_loss) and (
        fall <= FALL_TOLERANCE * abs(plain.loss_fall)
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# -- what runs in an attempt's process -------------------------------------------------------


def try_settings(spec: TrialSpec, data_root: Path) -> _Result:
    """Train a few steps from the initial weights, then time some more, on one batch."""
    trainer, images, labels = _prepare(spec, data_root)
    # Its random masks would hide whether losses agree, and its time is not worth measuring.
    for module in trainer.model.modules():
        if isinstance(module, (nn.modules.dropout._DropoutNd, StochasticDepth)):
            module.p = 0.0
    trainer.model.train()
    trainer.accelerate(images, labels)
    trainer.step(images, labels)
    trainer.reset()
    losses = [trainer.step(images, labels).clone() for _ in range(AGREEMENT_STEPS)]
    clock = EpochClock(timeline_of(trainer.device))
    clock.start(TIMED_STEPS[1])
    started = time.perf_counter()
    for count in range(1, TIMED_STEPS[1] + 1):
        trainer.step(images, labels)
        clock.step_done()
        if count >= TIMED_STEPS[0] and time.perf_counter() - started > TIMED_S:
            break
    clock.stop_s()
    step_s = float(np.median(clock.steps_ms())) / 1e3
    first, last = losses[0].item(), losses[-1].item()
    return _Result(images_per_s=len(labels) / step_s, first_loss=first, loss_fall=first - last)


def try_batch(spec: TrialSpec, data_root: Path) -> str | None:
    """Train and evaluate a batch; return None if the memory holds it, or ``FITS_NOT``."""
    device = device_of(spec)
    _limit_memory(device)
    try:
        trainer, images, labels = _prepare(spec, data_root)
        trainer.model.train()
        trainer.accelerate(images, labels)
        for _ in range(2):
            trainer.step(images, labels)
        trainer.model.eval()
        trainer.evaluate(images, labels)
        timeline_of(device).synchronize()
    except Exception as error:
        if is_out_of_memory(error):
            return FITS_NOT
        raise
    return None


def _limit_memory(device: torch.device) -> None:
    """Keep this process from taking all memory, so that it is refused some and not killed."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(HEADROOM, device)
        return
    allowed = int(psutil.virtual_memory().available * HOST_SHARE)
    limit = psutil.Process().memory_info().data + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    # Should the kernel be faster all the same, it takes this process and no other.
    Path("/proc/self/oom_score_adj").write_text("1000")


def _prepare(spec: TrialSpec, data_root: Path) -> tuple[Trainer, Tensor, Tensor]:
    """Return a trainer, and the trial's first batch on its device."""
    set_switches(spec)
    device = device_of(spec)
    images = load_dataset(
        spec.dataset, data_root, train_limit=spec.train_limit, eval_limit=spec.eval_limit
    )
    trainer = Trainer(spec, images.num_classes, device)
    alone = spec.model_copy(update={"num_workers": 0})
    with closing(make_input(alone, images.train, device, train=True)) as pipeline:
        raw = next(iter(pipeline.batches(1)))
        batch, labels = pipeline.preprocess(pipeline.transfer(raw))
        return trainer, batch.clone(), labels.clone()
