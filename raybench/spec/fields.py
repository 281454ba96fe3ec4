"""The choices that a trial's fields have."""

from __future__ import annotations

from typing import Literal

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
MemoryFormat = Literal["contiguous", "channels_last"]
Execution = Literal["eager", "compile", "cudagraph", "best"]
InputPipeline = Literal["dataloader", "device"]
Isolation = Literal["gpu", "node"]
Optimizer = Literal["sgd", "adamw"]
