"""Combinations that cannot work, a function a rule.

A spec is refused when it is built, so that a cluster's hours are not spent on finding out.
"""

from __future__ import annotations

from collections.abc import Callable

from raybench.catalog.datasets import DATASETS
from raybench.catalog.hardware import GPUS, cpu_threads
from raybench.catalog.models import MODELS
from raybench.errors import DataError, SpecError, count
from raybench.spec.fields import TrialFields

MINIMUM_CAPABILITY: dict[str, tuple[int, int]] = {
    "tf32": (8, 0),
    "bf16": (8, 0),
    "fp16": (5, 3),
    "compile": (7, 0),
}
"""Compute capability below which a GPU has no hardware (or Triton no compiler) for it."""

BEST_CHOOSES = ("precision", "memory_format", "fused_optimizer", "cudnn_benchmark")
"""Fields that execution 'best' leaves to autotuning, beside execution itself."""


def auxiliary_heads(spec: TrialFields) -> None:
    """Only a model with auxiliary heads has a weight for their losses."""
    model = MODELS[spec.model]
    if spec.aux_loss_weight is not None and model.aux_loss_weight is None and not model.custom:
        raise SpecError(
            f"aux_loss_weight is set, but {spec.model} has no auxiliary heads",
            allowed="a weight with googlenet, inception_v3 or a model of your own",
            hint=f"leave aux_loss_weight out for {spec.model}",
        )


def image_size(spec: TrialFields) -> None:
    """A model may need images of a certain size."""
    model = MODELS[spec.model]
    if spec.image_size < model.min_image_size or spec.image_size % model.image_size_multiple:
        multiple = f", a multiple of {model.image_size_multiple}" * (model.image_size_multiple > 1)
        raise SpecError(
            f"image_size is {spec.image_size}, which {spec.model} cannot take",
            allowed=f"image_size of {model.min_image_size} or more{multiple}",
            hint=f"set image_size={model.smallest_above(spec.image_size)}, or leave it out for 224",
        )


def on_a_cpu(spec: TrialFields) -> None:
    """A processor has no tensor cores, CUDA graphs or cuDNN; workers share its N threads."""
    threads = cpu_threads(spec.hardware)
    if threads is None:
        return
    if spec.precision in ("tf32", "fp16"):
        raise SpecError(
            f"precision is {spec.precision!r}, which {spec.hardware} does not have",
            allowed="fp32 or bf16 on a CPU",
        )
    if spec.execution == "cudagraph":
        raise SpecError(
            f"execution is 'cudagraph', but {spec.hardware} is not a GPU",
            allowed="eager or compile on a CPU",
        )
    if spec.cudnn_benchmark:
        raise SpecError(
            f"cudnn_benchmark is set, but {spec.hardware} has no cuDNN",
            hint="leave cudnn_benchmark out on a CPU",
        )
    if spec.num_workers and spec.num_workers >= threads:
        raise SpecError(
            f"num_workers is {spec.num_workers}, but {spec.hardware} has "
            f"{count(threads, 'thread')} for training and workers together",
            allowed=f"num_workers from 0 to {threads - 1}",
            hint="a cpu:N label with more threads, or fewer workers",
        )


def compute_capability(spec: TrialFields) -> None:
    """An older GPU lacks the hardware for some precisions, and the compiler's support."""
    gpu = GPUS.get(spec.hardware)
    if gpu is None:
        return
    for option in (spec.precision, spec.execution):
        needed = MINIMUM_CAPABILITY.get(option, (0, 0))
        if gpu.compute_capability < needed:
            major, minor = gpu.compute_capability
            raise SpecError(
                f"{option!r} needs compute capability {needed[0]}.{needed[1]}, "
                f"{spec.hardware} has {major}.{minor}",
                allowed="fp32 and eager run on every GPU",
                hint=f"exclude {{hardware: {spec.hardware}, …}} from the grid",
            )


def captured_loss_scaling(spec: TrialFields) -> None:
    """Loss scaling decides on the host whether to step, which a CUDA graph cannot hold."""
    if spec.execution == "cudagraph" and spec.precision == "fp16":
        raise SpecError(
            "execution 'cudagraph' cannot hold fp16's loss scaling, which decides on the host",
            allowed="cudagraph with fp32, tf32 or bf16",
        )


def left_to_autotuning(spec: TrialFields) -> None:
    """What execution 'best' chooses cannot be set as well."""
    if spec.execution != "best":
        return
    for name in BEST_CHOOSES:
        if getattr(spec, name) != TrialFields.model_fields[name].default:
            raise SpecError(
                f"{name} is {getattr(spec, name)!r}, but execution 'best' chooses it",
                hint=f"leave {name} out, or name the execution",
            )


def limits(spec: TrialFields) -> None:
    """A limit cannot exceed the dataset."""
    try:
        DATASETS[spec.dataset].check_limits(spec.train_limit, spec.eval_limit)
    except DataError as error:
        raise SpecError(error.message, allowed=error.allowed, hint=error.hint) from None


def determinism(spec: TrialFields) -> None:
    """What is timed anew in each run may be chosen anew."""
    if spec.cudnn_benchmark and spec.deterministic:
        raise SpecError(
            "cudnn_benchmark may choose another algorithm in each run, which is not deterministic",
            hint="leave one of the two out",
        )


def workers_of_a_pipeline(spec: TrialFields) -> None:
    """Only the dataloader has worker processes."""
    if spec.input_pipeline == "device" and spec.num_workers:
        raise SpecError(
            f"num_workers is {spec.num_workers}, but input_pipeline 'device' has no workers",
            allowed="num_workers 0 with 'device'",
            hint="leave num_workers out, or set input_pipeline=dataloader",
        )


RULES: tuple[Callable[[TrialFields], None], ...] = (
    auxiliary_heads,
    image_size,
    on_a_cpu,
    compute_capability,
    captured_loss_scaling,
    left_to_autotuning,
    limits,
    determinism,
    workers_of_a_pipeline,
)
"""In the order in which a spec is held against them; each raises SpecError."""
