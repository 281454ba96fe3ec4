"""How images reach the model: two pipelines behind one interface.

``dataloader`` is the ordinary way: PIL and torchvision transforms, image by image, in DataLoader
workers. ``device`` keeps the dataset on the device as uint8, and resizes, expands and normalises
by the batch. Both give the same images, in the same order.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import transforms

from raybench.catalog.datasets import Split
from raybench.spec.trial import ResolvedSpec

Raw = tuple[Tensor, ...]
"""A batch before preprocessing, as the pipeline wants it."""

CHUNK = 16
"""Images that a CPU resizes and normalises at once: their pixels stay in its second-level cache."""

INTERLEAVED = 4
"""Single-channel images that a CPU resizes together."""


class InputPipeline(Protocol):
    """Batches of one split, in three phases that are timed apart.

    Attributes:
        images: images an epoch.
        steps: batches an epoch; the last one may be smaller.
    """

    images: int
    steps: int

    def batches(self, epoch: int) -> Iterator[Raw]:
        """Return the epoch's batches; ``next()`` on it is the wait for data."""

    def transfer(self, raw: Raw) -> Raw:
        """Move a batch to the device, without waiting for it to arrive."""

    def preprocess(self, raw: Raw) -> tuple[Tensor, Tensor]:
        """Return images and labels, on the device.

        The images are float32 [B, 3, S, S] in the spec's memory format, from -1 to 1, and are
        overwritten by the next call; clone them to keep them. The labels are int64 [B].
        """

    def close(self) -> None:
        """End worker processes and let go of memory."""


def make_input(
    spec: ResolvedSpec, split: Split, device: torch.device, *, train: bool
) -> InputPipeline:
    """Return the pipeline that the spec asks for.

    Args:
        spec: gives the pipeline, batch size, image size, memory format, workers and seed.
        split: the images, after limits.
        device: where the model is.
        train: shuffle the images, anew in each epoch; otherwise they keep their order.
    """
    order = EpochOrder(len(split), spec.seed + spec.repeat, shuffled=train)
    if spec.input_pipeline == "device":
        return DeviceInput(spec, split, device, order)
    return LoaderInput(spec, split, device, order)


class EpochOrder(Sampler[int]):
    """The order of the images in an epoch: a function of seed and epoch, whatever the hardware."""

    def __init__(self, images: int, seed: int, *, shuffled: bool) -> None:
        self.images = images
        self.seed = seed
        self.shuffled = shuffled
        self.epoch = 0

    def indices(self) -> Tensor:
        """Return the images' indices in the order of ``epoch``, int64 [N], on the CPU."""
        if not self.shuffled:
            return torch.arange(self.images)
        # torch's CPU generator takes 32 bits of a seed, so the pair is hashed into them.
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(mixed))
        return torch.randperm(self.images, generator=generator)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices().tolist())

    def __len__(self) -> int:
        return self.images


def _steps(images: int, batch_size: int) -> int:
    return -(-images // batch_size)


def _torch_format(spec: ResolvedSpec) -> torch.memory_format:
    return {
        "contiguous": torch.contiguous_format,
        "channels_last": torch.channels_last,
    }[spec.memory_format]


class _PilImages(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's transforms make them: float32 [3, S, S] from -1 to 1."""

    def __init__(self, split: Split, image_size: int) -> None:
        self.split = split
        self.transform = transforms.Compose(
            [
                transforms.Resize((image_size, image_size)),
                transforms.Lambda(_to_rgb),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(Image.fromarray(self.split.images[index]))
        return image, int(self.split.labels[index])

    def __len__(self) -> int:
        return len(self.split)


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


class LoaderInput:
    """The ``dataloader`` pipeline, with the settings of torchvision's training reference.

    Those are pinned memory, copies that do not block, and two batches prefetched by each worker
    (references/classification/train.py). Its workers start anew in each epoch; these live on.
    """

    def __init__(
        self, spec: ResolvedSpec, split: Split, device: torch.device, order: EpochOrder
    ) -> None:
        self.images = len(split)
        self.steps = _steps(self.images, spec.batch_size)
        self._device = device
        self._format = _torch_format(spec)
        self._order = order
        self._open: Generator[Raw, None, None] | None = None
        workers = spec.num_workers
        options: dict[str, Any] = {}
        if workers:
            # Forked workers share the memory-mapped images; they never touch the device.
            options = {"persistent_workers": True, "multiprocessing_context": "fork"}
        self._loader: DataLoader[tuple[Tensor, int]] | None = DataLoader(
            _PilImages(split, spec.image_size),
            batch_size=spec.batch_size,
            sampler=order,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            # Its own generator: the global one's state should not depend on the pipeline.
            generator=torch.Generator().manual_seed(order.seed),
            **options,
        )

    def batches(self, epoch: int) -> Iterator[Raw]:
        """Return (images float32 [B, 3, S, S], labels int64 [B]), on the CPU."""
        if self._open is not None:
            self._open.close()
        self._order.epoch = epoch
        self._open = self._batches()
        return self._open

    def _batches(self) -> Generator[Raw, None, None]:
        assert self._loader is not None, "the pipeline is open"
        for batch in self._loader:
            yield tuple(batch)

    def transfer(self, raw: Raw) -> Raw:
        """Copy to the device; from pinned memory, that does not wait."""
        images, labels = raw
        return (
            images.to(self._device, non_blocking=True),
            labels.to(self._device, non_blocking=True),
        )

    def preprocess(self, raw: Raw) -> tuple[Tensor, Tensor]:
        """Bring the images into the memory format; the workers did the rest."""
        images, labels = raw
        return images.contiguous(memory_format=self._format), labels

    def close(self) -> None:
        """End the workers: they live as long as the loader and its iterator."""
        if self._open is not None:
            self._open.close()
        self._open = None
        self._loader = None


class DeviceInput:
    """The ``device`` pipeline."""

    def __init__(
        self, spec: ResolvedSpec, split: Split, device: torch.device, order: EpochOrder
    ) -> None:
        self.images = len(split)
        self.steps = _steps(self.images, spec.batch_size)
        self._batch_size = spec.batch_size
        self._size = (spec.image_size, spec.image_size)
        self._format = _torch_format(spec)
        self._device = device
        self._order = order
        # On the CPU these are the memory-mapped arrays themselves: all trials share one copy.
        self._images = torch.from_numpy(split.images).to(device)
        self._labels = torch.from_numpy(split.labels).to(device)
        self._minus_one = torch.tensor(-1.0, device=device)
        self._buffer = torch.empty(0)

    def batches(self, epoch: int) -> Iterator[Raw]:
        """Return (indices int64 [B],), on the device."""
        self._order.epoch = epoch
        indices = self._order.indices().to(self._device)
        return ((batch,) for batch in torch.split(indices, self._batch_size))

    def transfer(self, raw: Raw) -> Raw:
        """Do nothing: everything is on the device."""
        return raw

    def preprocess(self, raw: Raw) -> tuple[Tensor, Tensor]:
        """Gather, resize, expand to RGB and normalise."""
        (indices,) = raw
        labels = self._labels.index_select(0, indices)
        if self._device.type == "cpu":
            return self._resize_uint8(indices), labels
        return self._resize_float(indices), labels

    def _gather(self, indices: Tensor) -> Tensor:
        """Return uint8 [B, 1 or 3, H, W]."""
        images = self._images.index_select(0, indices)
        return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)

    def _normalize(self, pixels: Tensor, out: Tensor | None = None) -> Tensor:
        """Return pixels · 2/255 - 1, float32, by one kernel."""
        return torch.add(self._minus_one, pixels, alpha=2 / 255, out=out)

    def _resize_float(self, indices: Tensor) -> Tensor:
        """Normalise, resize, expand: in this order, as the small image is the cheapest one.

        The weights of a resize add up to 1, so that normalising first gives the same pixels.
        """
        small = self._normalize(self._gather(indices))
        resized = F.interpolate(small, self._size, mode="bilinear", antialias=True)
        return resized.expand(-1, 3, -1, -1).contiguous(memory_format=self._format)

    def _resize_uint8(self, indices: Tensor) -> Tensor:
        """Resize with torch's uint8 kernel, which rounds as PIL does, a few images at a time."""
        images = self._output(len(indices))
        for part, out in zip(torch.split(indices, CHUNK), torch.split(images, CHUNK), strict=True):
            small = self._gather(part)
            if self._format is torch.channels_last:
                # torch has a fast kernel for interleaved RGB, and writes it as it is wanted.
                small = small.expand(-1, 3, -1, -1).contiguous(memory_format=self._format)
            resized = self._interpolate(small)
            channels = out[:, : resized.shape[1]]
            channels.copy_(resized)
            self._normalize(channels, out=channels)
            if resized.shape[1] == 1:
                out[:, 1:].copy_(channels.expand(-1, 2, -1, -1))
        return images

    def _interpolate(self, small: Tensor) -> Tensor:
        """Resize uint8 images [B, C, H, W].

        Single-channel images go as the channels of one, a few together: torch resizes interleaved
        channels ten times as fast as one, each by itself and to the same pixels.
        """
        images, channels, *size = small.shape
        if channels > 1:
            return F.interpolate(small, self._size, mode="bilinear", antialias=True)
        filled = torch.cat([small, small[-1:].expand(-images % INTERLEAVED, -1, -1, -1)])
        together = filled.view(-1, INTERLEAVED, *size).contiguous(memory_format=torch.channels_last)
        resized = F.interpolate(together, self._size, mode="bilinear", antialias=True)
        return resized.reshape(-1, 1, *self._size)[:images]

    def _output(self, images: int) -> Tensor:
        """Return float32 [B, 3, S, S] to write to, the same memory each time.

        Fresh memory would have its pages mapped and cleared by the kernel in every step, which
        takes longer than computing the pixels.
        """
        if len(self._buffer) < images:
            self._buffer = torch.empty((images, 3, *self._size), memory_format=self._format)
        return self._buffer[:images]

    def close(self) -> None:
        """Let go of the images."""
        self._images = self._labels = self._buffer = torch.empty(0)
