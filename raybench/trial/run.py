"""One trial: build, warm up, time, evaluate, look where the time goes, and record it.

Plain PyTorch; nothing here knows of Ray. What goes wrong in a trial becomes its record.
"""

from __future__ import annotations

import itertools
import os
import time
import traceback
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raybench.catalog.datasets import ImageSet, load_dataset
from raybench.catalog.hardware import GPUS
from raybench.errors import RaybenchError, TrialFailed
from raybench.record.autotune import NOTHING_TO_AUTOTUNE
from raybench.record.schema import (
    Contention,
    DatasetFacts,
    Epoch,
    ErrorFacts,
    Memory,
    ModelFacts,
    Phases,
    Segment,
    Status,
    StepTimes,
    TrialRecord,
    WarningFacts,
)
from raybench.record.state import EpochDone, Event, PhaseStarted
from raybench.record.store import Experiment, utc_now
from raybench.settings import workspace
from raybench.spec.trial import ResolvedSpec, TrialSpec
from raybench.system.software import describe_environment, distorting_variables, peak_host_bytes
from raybench.system.verify import describe_hardware
from raybench.trial import summary as sanity
from raybench.trial.autotune.search import decide
from raybench.trial.input import InputPipeline, make_input
from raybench.trial.measure.audit import StepAudit
from raybench.trial.measure.clock import EpochClock, PhaseClock, Timeline, timeline_of
from raybench.trial.measure.contention import HostRegistry
from raybench.trial.measure.power import DeviceSampler
from raybench.trial.profile import LOOK_S, LOOK_STEPS, PHASES, _quartiles
from raybench.trial.timing import evaluate_epoch, train_epoch
from raybench.trial.trainer import Trainer, device_of, is_out_of_memory, set_switches

_SYSTEM = ("hardware", "environment", "contention")
"""What is known of a segment, where its process ran."""


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """Where a trial runs, and whom it tells.

    Attributes:
        experiment: where its record is written.
        data_root: where the datasets lie.
        report: is called between epochs, never inside the clock.
        progress: [0] becomes the images done, [1] the images of all epochs; read by others.
    """

    experiment: Experiment
    data_root: Path
    report: Callable[[Event], None] = field(default=lambda _event: None)
    progress: MutableSequence[int] = field(default_factory=lambda: [0, 0])


def run_trial(spec: TrialSpec, context: TrialContext) -> TrialRecord:
    """Measure one trial and write its record, whatever becomes of it.

    Raises:
        ResultsError: the record could not be written.
    """
    trial = _Trial(spec, context)
    try:
        trial.measure()
        record = trial.record("completed")
        sanity.check(record)
    except KeyboardInterrupt:
        error = ErrorFacts(
            kind="interrupted",
            message="interrupted before it was complete; run the same command again to measure it",
            traceback=None,
        )
        record = trial.record("interrupted", error)
    except Exception as error:  # noqa: BLE001 - whatever a trial raises belongs into its record
        record = trial.record("failed", error_facts(error))
    finally:
        trial.close()
    context.experiment.write(record, trial.steps_ms)
    return record


def error_facts(error: BaseException) -> ErrorFacts:
    """Say what an exception means for a trial."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, RaybenchError):
        return ErrorFacts(kind=error.kind, message=str(error), traceback=text)
    if is_out_of_memory(error):
        message = (
            f"out of memory: {str(error).splitlines()[0] if str(error) else 'MemoryError'}\n"
            "hint:    a smaller batch_size or image_size, or hardware with more memory"
        )
        return ErrorFacts(kind="out_of_memory", message=message, traceback=text)
    name = type(error).__name__
    return ErrorFacts(kind="exception", message=f"{name}: {error}".strip(), traceback=text)


class _Trial:
    """A trial under way: what is known so far becomes the record, at whatever point it ends."""

    def __init__(self, spec: TrialSpec, context: TrialContext) -> None:
        self.asked = spec
        self.spec: ResolvedSpec  # as soon as what was left open is decided
        self.context = context
        self.started_at = utc_now()
        self.known: dict[str, Any] = {}
        self.missing: dict[str, str] = {}
        self.warnings: list[WarningFacts] = []
        self.epochs: list[Epoch] = []
        self.steps_ms: list[npt.NDArray[np.float64]] = []
        self.train_input: InputPipeline | None = None
        self.eval_input: InputPipeline | None = None

    def measure(self) -> None:
        """Run the trial from its setup to its last figure."""
        self._decide()
        self._enter("setup")
        start = time.perf_counter()
        self._set_up()
        self.timeline.synchronize()
        self.known["setup_time_s"] = time.perf_counter() - start
        self._enter("warm-up")
        start = time.perf_counter()
        self._warm_up()
        self.timeline.synchronize()
        self.known["warmup_time_s"] = time.perf_counter() - start
        self._enter("training")
        self._timed_epochs()
        self._enter("profiling")
        self._look()

    def _decide(self) -> None:
        """Decide what the spec leaves open, before this process touches a device."""
        if self.asked.is_resolved:
            self.missing["autotune"] = NOTHING_TO_AUTOTUNE
            self.spec = self.asked.resolved()
            return
        context = self.context
        found = decide(
            self.asked,
            context.experiment,
            context.data_root,
            tell=lambda what: self._enter(f"tune-up: {what}"),
        )
        self.known["autotune"] = found
        self.spec = self.asked.resolved(found.chosen)

    # -- setup and warm-up -------------------------------------------------------------------

    def _set_up(self) -> None:
        spec = self.spec
        set_switches(spec)
        self.device = device_of(spec)
        self.timeline: Timeline = timeline_of(self.device)
        facts, missing = describe_hardware(
            spec.hardware,
            self.device,
            verify=spec.verify_hardware,
            workers=spec.num_workers,
        )
        self._know("hardware", facts, missing)
        if not facts.verified:
            self._warn(
                "unverified_hardware",
                f"the hardware was not verified: {facts.requested} was promised, "
                f"{facts.detected or 'nothing that could be named'} was found",
            )
        images = load_dataset(
            spec.dataset,
            workspace(data=self.context.data_root),
            train_limit=spec.train_limit,
            eval_limit=spec.eval_limit,
        )
        self._describe_dataset(images)
        self.trainer = Trainer(spec, images.num_classes, self.device)
        self.train_input = make_input(spec, images.train, self.device, train=True)
        self.eval_input = make_input(spec, images.eval, self.device, train=False)
        for problem in distorting_variables():
            self._warn("distorting_variable", problem)
        environment, missing = describe_environment()
        self._know("environment", environment, missing)

    def _describe_dataset(self, images: ImageSet) -> None:
        self.known["dataset"] = DatasetFacts(
            name=self.spec.dataset,
            fingerprint=images.fingerprint,
            train_images=len(images.train.labels),
            eval_images=len(images.eval.labels),
        )
        self.chance = float(np.bincount(images.eval.labels).max() / len(images.eval.labels))
        every_epoch = len(images.train.labels) + len(images.eval.labels)
        self.context.progress[1] = self.spec.epochs * every_epoch

    def _warm_up(self) -> None:
        """Run untimed steps of every shape that the timed epochs hold, then undo them."""
        trainer, steps = self.trainer, self.spec.warmup_steps
        trainer.model.train()
        batches = self._batches(self.train_input, epoch=0)
        full = self._kept(next(batches))
        with StepAudit() as audit:
            trainer.eager_step(*full)
        self._describe_model(audit, len(full[0]))
        trainer.accelerate(*full)
        for batch in itertools.islice(itertools.chain(batches, itertools.repeat(full)), steps):
            trainer.step(*batch)
        self._warm_up_last_batch(self.train_input, full, trainer.step)
        trainer.model.eval()
        full = self._kept(next(self._batches(self.eval_input, epoch=0)))
        trainer.evaluate(*full)
        self._warm_up_last_batch(self.eval_input, full, trainer.evaluate)
        trainer.reset()

    @staticmethod
    def _kept(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Copy a batch: its pipeline may use the buffers again."""
        return batch[0].clone(), batch[1].clone()

    def _warm_up_last_batch(
        self,
        pipeline: InputPipeline | None,
        full: tuple[Tensor, Tensor],
        step: Callable[[Tensor, Tensor], object],
    ) -> None:
        """Run the smaller batch that an epoch may end with: its shapes are new to libraries."""
        assert pipeline is not None
        rest = pipeline.images % self.spec.batch_size
        if 0 < rest < len(full[0]):
            step(full[0][:rest], full[1][:rest])

    def _describe_model(self, audit: StepAudit, batch_size: int) -> None:
        flops = None if audit.uncounted else audit.flops / batch_size
        if flops is None:
            names = ", ".join(sorted(audit.uncounted))
            self.missing["model.flops_per_image"] = (
                f"neither raybench nor torch {torch.__version__} counts what {names} does"
            )
        if self.spec.aux_loss_weight is None:
            self.missing["model.aux_loss_weight"] = "the model has no auxiliary heads"
        self.known["model"] = ModelFacts(
            name=self.spec.model,
            parameters=self.trainer.parameters,
            flops_per_image=flops,
            aux_loss_weight=self.spec.aux_loss_weight,
        )
        for finding in audit.findings():
            self._warn("disturbed_clock", finding)

    # -- the timed epochs --------------------------------------------------------------------

    def _timed_epochs(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        train_input, eval_input = self.train_input, self.eval_input
        assert train_input is not None
        assert eval_input is not None
        clock, progress = EpochClock(self.timeline), self.context.progress
        sampler = DeviceSampler(self.device)
        try:
            with HostRegistry() as host:
                for number in range(1, self.spec.epochs + 1):
                    with sampler.window():
                        train = train_epoch(
                            self.trainer, train_input, clock, number=number, progress=progress
                        )
                        self.steps_ms.append(clock.steps_ms())
                        evaluation = evaluate_epoch(
                            self.trainer, eval_input, clock, progress=progress
                        )
                    host.look()
                    self._keep_epoch(number, train, evaluation)
                self._describe_host(host)
        finally:
            sampler.close()
        telemetry, missing = sampler.telemetry()
        self._know("device_telemetry", telemetry, missing)
        if telemetry and telemetry.throttle_reasons:
            reasons = ", ".join(telemetry.throttle_reasons)
            self._warn("throttled", f"the clocks were held down meanwhile: {reasons}")
        self._describe_memory()
        self._summarise()

    def _keep_epoch(
        self, number: int, train: tuple[float, float], evaluation: tuple[float, float, int]
    ) -> None:
        assert self.train_input is not None
        assert self.eval_input is not None
        train_images, eval_images = self.train_input.images, self.eval_input.images
        train_loss, eval_loss = train[1] / train_images, evaluation[1] / eval_images
        if not np.isfinite([train_loss, eval_loss]).all():
            raise TrialFailed(
                "diverged",
                f"the loss became {train_loss:g} in training and {eval_loss:g} in evaluation, "
                f"in epoch {number}",
                hint="a smaller learning_rate, or another precision",
            )
        epoch = Epoch(
            epoch=number,
            train_time_s=train[0],
            eval_time_s=evaluation[0],
            train_images=train_images,
            eval_images=eval_images,
            train_loss=train_loss,
            eval_loss=eval_loss,
            accuracy=evaluation[2] / eval_images,
        )
        self.epochs.append(epoch)
        self.context.report(EpochDone(epoch))

    def _describe_host(self, host: HostRegistry) -> None:
        others = host.seen()
        if others is None:
            self.missing["contention.co_located_trials"] = host.unavailable or "not known"
        load, processors = host.load_average(), os.cpu_count() or 1
        self.known["contention"] = Contention(co_located_trials=others, load_average=load)
        if load > processors:
            self._warn("busy_host", f"the host's load was {load:.1f} on {processors} processor(s)")
        if others:
            self._warn("contended", f"{others} other trial(s) ran on the same host meanwhile")

    def _describe_memory(self) -> None:
        on_gpu = self.device.type == "cuda"
        if not on_gpu:
            reason = "measured on a CPU, whose memory is the host's"
            self.missing["memory.peak_allocated_bytes"] = reason
            self.missing["memory.peak_reserved_bytes"] = reason
        self.known["memory"] = Memory(
            peak_allocated_bytes=torch.cuda.max_memory_allocated(self.device) if on_gpu else None,
            peak_reserved_bytes=torch.cuda.max_memory_reserved(self.device) if on_gpu else None,
            peak_host_bytes=peak_host_bytes(),
        )

    def _summarise(self) -> None:
        """Make the trial's figures from its epochs; times are summed, rates never averaged."""
        train_s = sum(epoch.train_time_s for epoch in self.epochs)
        train_images = sum(epoch.train_images for epoch in self.epochs)
        self.known["running_time_s"] = train_s + sum(e.eval_time_s for e in self.epochs)
        self.known["images_per_s"] = train_images / train_s
        steps = np.concatenate(self.steps_ms)
        p05, p25, p50, p75, p95 = np.percentile(steps, [5, 25, 50, 75, 95]).tolist()
        self.known["step_ms"] = StepTimes(
            p05=p05, p25=p25, p50=p50, p75=p75, p95=p95, count=len(steps)
        )
        self._describe_mfu(train_images / train_s)
        best = max(epoch.accuracy for epoch in self.epochs)
        if not sanity.learned(best, self.chance, self.epochs[-1].eval_images):
            self._warn(
                "no_learning",
                f"the best accuracy of {best:.4f} is not above {self.chance:.4f}, "
                "which naming always the same class would reach",
            )

    def _describe_mfu(self, images_per_s: float) -> None:
        gpu = GPUS.get(self.spec.hardware)
        device_name = self.known["hardware"].detected
        peak = gpu.datasheet(device_name).peak_tflops(self.spec.precision) if gpu else None
        flops = self.known["model"].flops_per_image
        if flops is None:
            self.missing["mfu"] = self.missing["model.flops_per_image"]
        elif self.device.type != "cuda":
            self.missing["mfu"] = "measured on a CPU, for which no datasheet peak is known"
        elif peak is None:
            self.missing["mfu"] = (
                f"the datasheet of {self.spec.hardware} gives no peak for {self.spec.precision}"
            )
        else:
            self.known["mfu"] = flops * images_per_s / (peak * 1e12)

    # -- where the time goes -----------------------------------------------------------------

    def _look(self) -> None:
        """Time the phases of a few more steps, then the same step on one resident batch."""
        self.trainer.model.train()
        images, labels = self._phases()
        self.known["compute_only_images_per_s"] = self._compute_only(images, labels)

    def _phases(self) -> tuple[Tensor, Tensor]:
        """Time the phases; return a full batch that lies on the device."""
        pipeline, trainer = self.train_input, self.trainer
        assert pipeline is not None
        captured = self.spec.execution == "cudagraph"
        clock = PhaseClock(self.timeline)
        raws = pipeline.batches(self.spec.epochs + 1)
        raw = next(raws)  # starting the pipeline is no step's wait
        first = self._kept(pipeline.preprocess(pipeline.transfer(raw)))
        started = time.perf_counter()
        for count in range(min(LOOK_STEPS[1], pipeline.steps - 1)):
            if count >= LOOK_STEPS[0] and time.perf_counter() - started > LOOK_S:
                break
            clock.start()
            raw = next(raws)
            clock.done("data_wait")
            raw = pipeline.transfer(raw)
            clock.done("transfer")
            images, labels = pipeline.preprocess(raw)
            clock.done("preprocess")
            if captured:
                trainer.step(images, labels)
                continue
            loss = trainer.forward(images, labels)
            clock.done("forward")
            trainer.backward(loss)
            clock.done("backward")
            trainer.update()
            clock.done("optimizer")
        samples = clock.samples_ms()
        if not samples:
            self.missing["phases_ms"] = "an epoch of one step leaves none to look into"
            return first
        if captured:
            for phase in ("forward", "backward", "optimizer"):
                self.missing[f"phases_ms.{phase}"] = "the captured step runs as one"
        quartiles = {name: _quartiles(values) for name, values in samples.items()}
        self.known["phases_ms"] = Phases(**{name: quartiles.get(name) for name in PHASES})
        return first

    def _compute_only(self, images: Tensor, labels: Tensor) -> float:
        """Return the images/s of the training step on a batch that is already there."""
        clock = EpochClock(self.timeline)
        step = self.trainer.step
        step(images, labels)
        clock.start(LOOK_STEPS[1])
        started = time.perf_counter()
        steps = 0
        while steps < LOOK_STEPS[1]:
            step(images, labels)
            clock.step_done()
            steps += 1
            if steps >= LOOK_STEPS[0] and time.perf_counter() - started > LOOK_S:
                break
        return steps * len(labels) / clock.stop_s()

    # -- the record --------------------------------------------------------------------------

    def record(self, status: Status, error: ErrorFacts | None = None) -> TrialRecord:
        """Make the record from what is known; what is null says why."""
        system = {name: self.known.pop(name, None) for name in _SYSTEM}
        missing = {
            f"segments.0.{name}" if name.partition(".")[0] in _SYSTEM else name: reason
            for name, reason in self.missing.items()
        }
        record = TrialRecord(
            trial_id=self.asked.trial_id,
            experiment=self.context.experiment.name,
            started_at=self.started_at,
            spec=self.asked,
            status=status,
            error=error,
            warnings=tuple(self.warnings),
            epochs=tuple(self.epochs),
            segments=self._segments(system),
            missing=missing,
            **self.known,
        )
        return record.with_reason("the trial ended before it was measured")

    def _segments(self, system: dict[str, Any]) -> tuple[Segment, ...]:
        if not any(system.values()):
            return ()
        segment = Segment(
            hostname=os.uname().nodename,
            started_at=self.started_at,
            first_epoch=1,
            last_epoch=len(self.epochs),
            **system,
        )
        return (segment,)

    def close(self) -> None:
        """End the input pipelines' worker processes."""
        for pipeline in (self.train_input, self.eval_input):
            if pipeline is not None:
                pipeline.close()

    def _enter(self, phase: str) -> None:
        self.context.report(PhaseStarted(phase))

    def _know(self, name: str, value: Any, missing: dict[str, str]) -> None:
        self.known[name] = value
        self.missing.update(missing)

    def _warn(self, kind: str, message: str) -> None:
        self.warnings.append(WarningFacts(kind=kind, message=message))

    @staticmethod
    def _batches(pipeline: InputPipeline | None, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        assert pipeline is not None
        for raw in pipeline.batches(epoch):
            yield pipeline.preprocess(pipeline.transfer(raw))
