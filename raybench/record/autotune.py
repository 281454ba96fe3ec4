"""What autotuning found: a part of the record, and the content of ``autotune/*.json``."""

from __future__ import annotations

from raybench.spec.fields import MemoryFormat, Precision, ResolvedExecution
from raybench.system.facts import _Part

NOTHING_TO_AUTOTUNE = "the spec names the execution and the batch size"


class StepSettings(_Part):
    """How a training step is executed, and on how many images."""

    precision: Precision
    """fp32, tf32, bf16 or fp16"""
    memory_format: MemoryFormat
    """contiguous or channels_last"""
    execution: ResolvedExecution
    """eager, compile or cudagraph"""
    fused_optimizer: bool
    """whether one kernel updates all weights"""
    cudnn_benchmark: bool
    """whether cuDNN timed its algorithms and took the fastest"""
    batch_size: int
    """images a step"""

    @property
    def title(self) -> str:
        """``bf16, channels_last, eager, batch 10``."""
        parts: list[str] = [self.precision, self.memory_format, self.execution]
        parts += ["fused optimizer"] if self.fused_optimizer else []
        parts += ["cudnn benchmark"] if self.cudnn_benchmark else []
        return ", ".join([*parts, f"batch {self.batch_size}"])


class Candidate(_Part):
    """Settings that were tried on one batch that was on the device."""

    settings: StepSettings
    """what was tried"""
    images_per_s: float | None
    """median of a few steps; null if it could not run"""
    first_loss: float | None
    """of the first step from the trial's initial weights"""
    loss_fall: float | None
    """first loss minus that of the eighth step on the same batch"""
    outcome: str
    """chosen, slower, losses differ, fits, out of memory, or why it failed"""


class Autotune(_Part):
    """What a spec left open, and how it was resolved."""

    chosen: StepSettings
    """what the trial was then executed with"""
    reason: str
    """why, for a person"""
    candidates: tuple[Candidate, ...]
    """all that was tried, in order"""
    time_s: float
    """seconds that it took, once for all trials that differ in repeat and seed alone"""
    hostname: str
    """where it was done"""
