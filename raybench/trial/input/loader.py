"""The ``dataloader`` pipeline: PIL and torchvision transforms, image by image, in workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from raybench.catalog.datasets import Split
from raybench.spec.trial import ResolvedSpec
from raybench.trial.input.pipeline import MEMORY_FORMATS, EpochOrder, Raw, steps_per_epoch


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
        self.steps = steps_per_epoch(self.images, spec.batch_size)
        self._device = device
        self._format = MEMORY_FORMATS[spec.memory_format]
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
