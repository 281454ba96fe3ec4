"""One training step and one evaluation step of a spec, and nothing around them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from raybench.catalog.models import MODELS
from raybench.errors import HardwareError, SpecError
from raybench.spec.trial import ResolvedSpec
from raybench.system.verify import is_simulated

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def set_switches(spec: ResolvedSpec) -> None:
    """Set torch's global switches to what the spec says: fp32 means fp32, with TF32 off."""
    tf32 = spec.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = spec.cudnn_benchmark
    torch.backends.cudnn.deterministic = spec.deterministic
    torch.use_deterministic_algorithms(spec.deterministic)
    threads = spec.cpu_threads
    # A trial on a GPU is given one processor for this process, and one for each worker.
    torch.set_num_threads(1 if threads is None else threads - spec.num_workers)


def device_of(spec: ResolvedSpec) -> torch.device:
    """Return the device that a spec's hardware means in this process.

    Raises:
        HardwareError: the label is a GPU's, and torch sees none.
    """
    if spec.cpu_threads is not None or is_simulated(spec.hardware):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise HardwareError(
            f"hardware is {spec.hardware}, but torch {torch.__version__} sees no GPU here",
            hint="run `raybench doctor` on this machine, or choose cpu:N",
        )
    return torch.device("cuda", torch.cuda.current_device())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, the device's or the host's, ran out."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    # torch's allocator for the CPU raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


class Trainer:
    """A model with its optimizer, built from a spec with the spec's seed.

    Args:
        spec: what to train.
        num_classes: classes of the dataset.
        device: where to.
    """

    def __init__(self, spec: ResolvedSpec, num_classes: int, device: torch.device) -> None:
        self.spec = spec
        self.device = device
        torch.manual_seed(spec.seed + spec.repeat)
        model = MODELS[spec.model].built(num_classes=num_classes, image_size=spec.image_size)
        self.model = model.to(device)
        if spec.memory_format == "channels_last":
            self.model = self.model.to(memory_format=torch.channels_last)
        self.optimizer = _optimizer(spec, self.model)
        self._initial = copy.deepcopy(self.model.state_dict())
        self._scaler = _loss_scaler(device) if spec.precision == "fp16" else None
        self._call: Callable[[Tensor], Any] = self.model
        self._graphed: _GraphedStep | None = None

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, auxiliary heads included."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def accelerate(self, images: Tensor, labels: Tensor) -> None:
        """Compile, or capture, as the spec's execution says; a full batch shows the shapes."""
        if self.spec.execution == "compile":
            self._call = cast(Callable[[Tensor], Any], torch.compile(self.model))
        elif self.spec.execution == "cudagraph":
            self._graphed = _GraphedStep(self, images, labels)

    def reset(self) -> None:
        """Return to the initial weights and an empty optimizer, in place.

        In place, because a captured graph holds the addresses. Zeroed state is what both
        optimizers start from.
        """
        self.model.load_state_dict(self._initial)
        for state in self.optimizer.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()
        if self._scaler is not None:
            self._scaler = _loss_scaler(self.device)
        torch.manual_seed(self.spec.seed + self.spec.repeat)

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Train on one batch: images [B, 3, S, S], labels [B]; return the mean loss []."""
        if self._graphed is not None and len(images) == self._graphed.batch_size:
            return self._graphed.replay(images, labels)
        return self.eager_step(images, labels)

    def eager_step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Train on one batch, with every kernel launched from the host."""
        loss = self.forward(images, labels)
        self.backward(loss)
        self.update()
        return loss.detach()

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the training loss [] of a batch, the auxiliary heads' included."""
        with self._autocast():
            return self._loss(self._call(images), labels)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        scaled = loss if self._scaler is None else self._scaler.scale(loss)
        scaled.backward()

    def update(self) -> None:
        """Update the weights."""
        if self._scaler is None:
            self.optimizer.step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()

    @torch.no_grad()
    def evaluate(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch's summed loss [] and its number of correct answers [], on the device."""
        with self._autocast():
            logits = _logits(self._call(images))
            loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
        return loss, (logits.argmax(1) == labels).sum()

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        dtype = AUTOCAST.get(self.spec.precision)
        if dtype is None:
            return contextlib.nullcontext()
        # A captured graph must not hold casts that were cached outside of it.
        cached = self.spec.execution != "cudagraph"
        return torch.autocast(self.device.type, dtype=dtype, cache_enabled=cached)

    def _loss(self, output: Any, labels: Tensor) -> Tensor:
        weight = self.spec.aux_loss_weight
        if isinstance(output, Tensor):
            if weight is not None:
                raise SpecError(
                    f"aux_loss_weight is {weight}, but {self.spec.model} returned no auxiliary "
                    "heads in training",
                    hint="leave aux_loss_weight out",
                )
            return self._head_loss(output, labels)
        main, *aux = output
        if weight is None:
            raise SpecError(
                f"{self.spec.model} returned {len(aux)} auxiliary head(s) in training",
                hint="say what they count with -s aux_loss_weight=0.3 (0 leaves them out)",
            )
        loss = self._head_loss(main, labels)
        for logits in aux:
            if logits is not None:
                loss = loss + weight * self._head_loss(logits, labels)
        return loss

    def _head_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the training loss [] of one head: logits [B, classes], labels [B]."""
        return functional.cross_entropy(logits, labels)


class _GraphedStep:
    """A whole training step captured once and replayed: one launch instead of hundreds."""

    def __init__(self, trainer: Trainer, images: Tensor, labels: Tensor) -> None:
        self.batch_size = len(images)
        self._images, self._labels = images.clone(), labels.clone()
        # Warm-up on a side stream, as capture requires: lazily made buffers exist afterwards.
        stream = torch.cuda.Stream(trainer.device)
        stream.wait_stream(torch.cuda.current_stream(trainer.device))
        with torch.cuda.stream(stream):
            for _ in range(3):
                trainer.eager_step(self._images, self._labels)
        torch.cuda.current_stream(trainer.device).wait_stream(stream)
        trainer.optimizer.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = trainer.eager_step(self._images, self._labels)

    def replay(self, images: Tensor, labels: Tensor) -> Tensor:
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._loss


def _optimizer(spec: ResolvedSpec, model: nn.Module) -> torch.optim.Optimizer:
    kind: Any
    options: dict[str, Any] = {"lr": spec.learning_rate}
    if spec.optimizer == "sgd":
        kind = torch.optim.SGD
        options["momentum"] = spec.momentum
    else:
        kind = torch.optim.AdamW
        options["betas"] = (spec.momentum, 0.999)
        options["capturable"] = spec.execution == "cudagraph"
    if spec.fused_optimizer:
        options["fused"] = True
    try:
        made: torch.optim.Optimizer = kind(model.parameters(), **options)
    except (TypeError, RuntimeError) as error:
        if not spec.fused_optimizer:
            raise
        raise SpecError(
            f"torch {torch.__version__} has no fused {spec.optimizer} for this device: {error}",
            hint="leave fused_optimizer out",
        ) from None
    return made


def _loss_scaler(device: torch.device) -> Any:
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(device.type)
    return torch.cuda.amp.GradScaler()  # torch before 2.3


def _logits(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else cast(Tensor, output[0])
