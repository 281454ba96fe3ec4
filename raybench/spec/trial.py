"""What to measure: a trial, and a grid of trials.

A spec is refused when it is built if its combination cannot work, so that a cluster's hours are
not spent on finding out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from raybench.catalog.datasets import canonical_dataset, check_limits
from raybench.catalog.hardware import GPUS, canonical_label, cpu_threads
from raybench.catalog.models import canonical_model, model_row
from raybench.errors import DataError, SpecError, nearest
from raybench.spec.fields import (
    Execution,
    InputPipeline,
    Isolation,
    MemoryFormat,
    Optimizer,
    Precision,
)
from raybench.spec.identity import NOT_IDENTITY, _digest

MINIMUM_CAPABILITY: dict[str, tuple[int, int]] = {
    "fp32": (0, 0),
    "tf32": (8, 0),
    "bf16": (8, 0),
    "fp16": (5, 3),
    "compile": (7, 0),
}
"""Compute capability below which a GPU has no hardware (or Triton no compiler) for it."""

DEFAULT_GPU_WORKERS = 2

BEST_CHOOSES = ("precision", "memory_format", "fused_optimizer", "cudnn_benchmark")
"""Fields that execution 'best' decides, beside execution itself."""


class TrialSpec(BaseModel):
    """One trial: a model trained and evaluated on a dataset, on one kind of hardware.

    The defaults are the workload of Li (2022): batch 10, 10 epochs, 224×224 RGB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str
    """googlenet, resnet18, any other classification model of torchvision, or module:callable"""
    dataset: str
    """cifar10, mnist, kmnist, fashionmnist, digits or synthetic"""
    hardware: str
    """a GPU's label (P100, K80, H100 …), or cpu:N for N threads"""
    epochs: int = Field(default=10, ge=1)
    """passes over the training images, each followed by one over the evaluation images"""
    batch_size: Annotated[int, Field(ge=1)] | Literal["largest"] = 10
    """images a step, or largest: as many as the device's memory holds"""
    image_size: int = Field(default=224, ge=1)
    """height and width in pixels that every image is resized to"""
    repeat: int = Field(default=0, ge=0)
    """number of an independent repeat; it trains with seed + repeat"""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
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
    a tune-up"""
    cudnn_benchmark: bool = False
    """let cuDNN time its algorithms for each shape and take the fastest"""
    input_pipeline: InputPipeline = "dataloader"
    """dataloader (PIL and torchvision transforms) or device (uint8 tensors on the device)"""
    num_workers: int | None = Field(default=None, ge=0)
    """worker processes of the dataloader; 2 on a GPU, 0 on cpu:N, whose threads they share"""
    train_limit: int | None = Field(default=None, ge=1)
    """use only the first N training images"""
    eval_limit: int | None = Field(default=None, ge=1)
    """use only the first N evaluation images"""
    warmup_steps: int = Field(default=5, ge=1)
    """untimed training steps before the clock starts; the weights are reset after them"""
    isolation: Isolation = "gpu"
    """gpu: other trials may run on the host's other GPUs; node: one trial on a host at a time"""
    deterministic: bool = False
    """use deterministic algorithms only: bitwise the same losses on the same machine"""
    verify_hardware: bool = True
    """refuse to measure on a device whose own name contradicts the label"""

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, data: Any) -> Any:
        """Fill in what follows from other fields, so that equal measurements are equal specs."""
        if not isinstance(data, Mapping):
            return data
        fields = dict(data)
        for name, canonical in (
            ("model", canonical_model),
            ("dataset", canonical_dataset),
            ("hardware", canonical_label),
        ):
            if isinstance(fields.get(name), str):
                fields[name] = canonical(fields[name])
        model, hardware = fields.get("model"), fields.get("hardware")
        if isinstance(model, str) and fields.get("aux_loss_weight") is None:
            fields["aux_loss_weight"] = model_row(model).aux_loss_weight
        if isinstance(hardware, str) and fields.get("num_workers") is None:
            on_gpu_loader = hardware in GPUS and fields.get("input_pipeline") != "device"
            fields["num_workers"] = DEFAULT_GPU_WORKERS if on_gpu_loader else 0
        return fields

    @model_validator(mode="after")
    def _possible(self) -> TrialSpec:
        self._check_model()
        self._check_hardware()
        self._check_best()
        check_limits(self.dataset, train_limit=self.train_limit, eval_limit=self.eval_limit)
        if self.cudnn_benchmark and self.deterministic:
            raise SpecError(
                "cudnn_benchmark may choose another algorithm in each run, which is not "
                "deterministic",
                hint="leave one of the two out",
            )
        if self.input_pipeline == "device" and self.num_workers:
            raise SpecError(
                f"num_workers is {self.num_workers}, but input_pipeline 'device' has no workers",
                allowed="num_workers 0 with 'device'",
                hint="leave num_workers out, or set input_pipeline=dataloader",
            )
        return self

    def _check_model(self) -> None:
        row = model_row(self.model)
        if self.aux_loss_weight is not None and row.aux_loss_weight is None and not row.custom:
            raise SpecError(
                f"aux_loss_weight is set, but {self.model} has no auxiliary heads",
                allowed="a weight with googlenet, inception_v3 or a model of your own",
                hint=f"leave aux_loss_weight out for {self.model}",
            )
        if self.image_size < row.min_image_size or self.image_size % row.image_size_multiple:
            multiple = f", a multiple of {row.image_size_multiple}" * (row.image_size_multiple > 1)
            raise SpecError(
                f"image_size is {self.image_size}, which {self.model} cannot take",
                allowed=f"image_size of {row.min_image_size} or more{multiple}",
                hint=f"set image_size={row.smallest_above(self.image_size)}, "
                "or leave it out for 224",
            )

    def _check_hardware(self) -> None:
        threads = cpu_threads(self.hardware)
        if threads is not None:
            if self.precision in ("tf32", "fp16"):
                raise SpecError(
                    f"precision is {self.precision!r}, which {self.hardware} does not have",
                    allowed="fp32 or bf16 on a CPU",
                )
            if self.execution == "cudagraph":
                raise SpecError(
                    f"execution is 'cudagraph', but {self.hardware} is not a GPU",
                    allowed="eager or compile on a CPU",
                )
            if self.cudnn_benchmark:
                raise SpecError(
                    f"cudnn_benchmark is set, but {self.hardware} has no cuDNN",
                    hint="leave cudnn_benchmark out on a CPU",
                )
            if self.num_workers and self.num_workers >= threads:
                raise SpecError(
                    f"num_workers is {self.num_workers}, but {self.hardware} has {threads} "
                    "thread(s) for training and workers together",
                    allowed=f"num_workers from 0 to {threads - 1}",
                    hint="a cpu:N label with more threads, or fewer workers",
                )
            return
        capability = GPUS[self.hardware].compute_capability
        for option in (self.precision, self.execution):
            needed = MINIMUM_CAPABILITY.get(option, (0, 0))
            if capability < needed:
                raise SpecError(
                    f"{option!r} needs compute capability {needed[0]}.{needed[1]}, "
                    f"{self.hardware} has {capability[0]}.{capability[1]}",
                    allowed="fp32 and eager run on every GPU",
                    hint=f"exclude {{hardware: {self.hardware}, …}} from the grid",
                )
        if self.execution == "cudagraph" and self.precision == "fp16":
            raise SpecError(
                "execution 'cudagraph' cannot hold fp16's loss scaling, which decides on the host",
                allowed="cudagraph with fp32, tf32 or bf16",
            )

    def _check_best(self) -> None:
        if self.execution != "best":
            return
        for name in BEST_CHOOSES:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise SpecError(
                    f"{name} is {getattr(self, name)!r}, but execution 'best' chooses it",
                    hint=f"leave {name} out, or name the execution",
                )

    @property
    def is_decided(self) -> bool:
        """Whether the spec leaves nothing to a tune-up."""
        return self.execution != "best" and self.batch_size != "largest"

    @property
    def images_per_step(self) -> int:
        """The batch size of a spec that leaves none to a tune-up."""
        assert isinstance(self.batch_size, int), "a tune-up comes first"
        return self.batch_size

    def decided(self, **settings: Any) -> TrialSpec:
        """Return the spec with a tune-up's ``settings`` in place of its own.

        Raises:
            SpecError: they cannot work with the rest of the spec.
        """
        return trial_spec({**self.model_dump(), **settings})

    @functools.cached_property
    def trial_id(self) -> str:
        """A readable name and a hash of every field: the same spec is the same id."""
        model = self.model.rsplit(":", 1)[-1]
        name = f"{model}-{self.dataset}-{self.hardware}-r{self.repeat}".replace(":", "")
        return f"{name}-{_digest(self.model_dump(mode='json'))}"

    @functools.cached_property
    def identity(self) -> str:
        """A hash of what makes two trials repeats of the same measurement."""
        return _digest(self.model_dump(mode="json", exclude=set(NOT_IDENTITY)))

    @property
    def cpu_threads(self) -> int | None:
        """N for ``cpu:N``, None on a GPU."""
        return cpu_threads(self.hardware)

    @property
    def title(self) -> str:
        """``resnet18 · mnist · P100``, with the repeat where it is not the first."""
        repeat = f" · repeat {self.repeat}" if self.repeat else ""
        return f"{self.model} · {self.dataset} · {self.hardware}{repeat}"


def trial_spec(fields: Mapping[str, Any]) -> TrialSpec:
    """Build a TrialSpec, with every problem said in the words of its fields.

    Raises:
        SpecError: a field is unknown, has a wrong value, or the combination cannot work.
    """
    _known_keys(fields, TrialSpec.model_fields, "a trial")
    try:
        return TrialSpec(**fields)
    except ValidationError as error:
        raise _spec_error(error) from None
    except DataError as error:
        raise SpecError(error.message, allowed=error.allowed, hint=error.hint) from None


def _known_keys(given: Iterable[str], known: Iterable[str], where: str) -> None:
    known = list(known)
    for key in given:
        if key not in known:
            raise SpecError(
                f"{where} has no field {key!r}. {nearest(str(key), known)}".rstrip(),
                allowed=", ".join(known),
            )


def _spec_error(error: ValidationError) -> SpecError:
    found: dict[str, list[str]] = {}
    for problem in error.errors():
        # What follows the field's name is the kind that was tried, of several that it takes.
        where = str(problem["loc"][0]) if problem["loc"] else "the spec"
        message = problem["msg"].replace("Input should be", "it should be")
        found.setdefault(f"{where} is {problem['input']!r}: ", []).append(message)
    lines = [start + ", or ".join(messages) for start, messages in found.items()]
    return SpecError("\n".join(lines), hint="see `raybench run --help` for every field")


def choices(field: str) -> tuple[str, ...]:
    """Return the values that a field of fixed choices takes, or () for any other field."""
    return tuple(
        value for value in get_args(TrialSpec.model_fields[field].annotation) if type(value) is str
    )
