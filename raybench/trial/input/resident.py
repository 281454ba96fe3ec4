"""The ``device`` pipeline: the dataset resident on the device, resized by the batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from raybench.catalog.datasets import Split
from raybench.spec.trial import ResolvedSpec
from raybench.trial.input.pipeline import MEMORY_FORMATS, EpochOrder, Raw, steps_per_epoch

CHUNK = 16
"""Images that a CPU resizes and normalises at once: their pixels stay in its second-level cache."""

INTERLEAVED = 4
"""Single-channel images that a CPU resizes together."""


class ResidentInput:
    """The dataset on the device as uint8; a batch is gathered, resized, expanded, normalised."""

    def __init__(
        self, spec: ResolvedSpec, split: Split, device: torch.device, order: EpochOrder
    ) -> None:
        self.images = len(split)
        self.steps = steps_per_epoch(self.images, spec.batch_size)
        self._batch_size = spec.batch_size
        self._size = (spec.image_size, spec.image_size)
        self._format = MEMORY_FORMATS[spec.memory_format]
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
