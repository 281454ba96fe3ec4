"""The fields of a trial's spec, each with its meaning: the one place for a new one.

A new field follows the others, with the marks of ``raybench.spec.identity``:

    label_smoothing: Annotated[float, Field(ge=0, lt=1), Since(4, baseline=0.0)] = 0.0
    \"\"\"part of the target that is spread over all classes\"\"\"

From its type, meaning and marks follow its command line option, its column, what it means for
comparisons, and that no older id changes. What combinations cannot work says ``rules``.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from raybench.spec.identity import Role, role_of

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
MemoryFormat = Literal["contiguous", "channels_last"]
ResolvedExecution = Literal["eager", "compile", "cudagraph"]
Execution = Literal[ResolvedExecution, "best"]
InputPipeline = Literal["dataloader", "device"]
Isolation = Literal["gpu", "node"]
Optimizer = Literal["sgd", "adamw"]

BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]


class TrialFields(BaseModel):
    """What a trial's spec says, field by field.

    The defaults are the workload of Li (2022): batch 10, 10 epochs, 224×224 RGB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: Annotated[str, Role.CELL]
    """resnet18, any other classifier of torchvision, one of a package, or module:callable"""
    dataset: Annotated[str, Role.CELL]
    """cifar10, mnist, kmnist, fashionmnist, digits or synthetic"""
    hardware: Annotated[str, Role.CELL]
    """a GPU's label (P100, K80, H100 …), or cpu:N for N threads"""
    epochs: int = Field(default=10, ge=1, le=10_000)
    """passes over the training images, each followed by one over the evaluation images"""
    batch_size: BatchSize | Literal["largest"] = 10
    """images a step, or largest: as many as the device's memory holds"""
    image_size: int = Field(default=224, ge=1, le=4096)
    """height and width in pixels that every image is resized to"""
    repeat: Annotated[int, Role.REPLICATE] = Field(default=0, ge=0, le=999_999)
    """number of an independent repeat; it trains with seed + repeat"""
    seed: Annotated[int, Role.REPLICATE] = Field(default=0, ge=0, le=2**31 - 1)
    """of the initial weights and of the order of the images"""
    optimizer: Optimizer = "sgd"
    """sgd or adamw"""
    learning_rate: float = Field(default=0.002, gt=0, allow_inf_nan=False)
    """constant over all epochs"""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """SGD's momentum, or AdamW's first beta"""
    fused_optimizer: bool = False
    """update all weights by one kernel"""
    aux_loss_weight: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """weight of the auxiliary heads' losses; GoogLeNet: 0.3, so main + 0.3·(aux1 + aux2)"""
    precision: Precision = "fp32"
    """fp32 (TF32 off), tf32, bf16 or fp16 (both by autocast, fp16 with loss scaling)"""
    memory_format: MemoryFormat = "contiguous"
    """layout of images and weights: contiguous (NCHW) or channels_last (NHWC)"""
    execution: Execution = "eager"
    """eager, compile (torch.compile), cudagraph (the whole training step captured), or best: the
    fastest of these with precision, memory_format, fused_optimizer and cudnn_benchmark, found by
    autotuning"""
    cudnn_benchmark: bool = False
    """let cuDNN time its algorithms for each shape and take the fastest"""
    input_pipeline: InputPipeline = "dataloader"
    """dataloader (PIL and torchvision transforms) or device (uint8 tensors on the device)"""
    num_workers: int | None = Field(default=None, ge=0, le=1024)
    """worker processes of the dataloader; 2 on a GPU, 0 on cpu:N, whose threads they share"""
    train_limit: int | None = Field(default=None, ge=1)
    """use only the first N training images"""
    eval_limit: int | None = Field(default=None, ge=1)
    """use only the first N evaluation images"""
    warmup_steps: int = Field(default=5, ge=1, le=100_000)
    """untimed training steps before the clock starts; the weights are reset after them"""
    isolation: Isolation = "gpu"
    """gpu: other trials may run on the node's other GPUs; node: one trial on a node at a time"""
    deterministic: bool = False
    """use deterministic algorithms only: bitwise the same losses on the same machine"""
    verify_hardware: Annotated[bool, Role.BOOKKEEPING] = True
    """refuse to measure on a device whose own name contradicts the label"""


def choices(field: str) -> tuple[str, ...]:
    """Return the words that a field of fixed choices takes, or () for any other field."""
    annotation = TrialFields.model_fields[field].annotation
    return tuple(value for value in get_args(annotation) if type(value) is str)


def names_of(role: Role) -> tuple[str, ...]:
    """Return the fields of a role, in their order."""
    return tuple(name for name, field in TrialFields.model_fields.items() if role_of(field) is role)
