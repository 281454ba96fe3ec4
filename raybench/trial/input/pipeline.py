"""What every input pipeline is: batches of one split, in an order that the seed decides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

Raw = tuple[Tensor, ...]
"""A batch before preprocessing, as the pipeline wants it."""

MEMORY_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
"""torch's name for each memory format of a spec."""


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


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the batches of an epoch; the last one may be smaller."""
    return math.ceil(images / batch_size)
