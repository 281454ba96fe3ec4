"""Noise, 32×32, RGB, for trials of speed alone: nothing can be learnt from it."""

from __future__ import annotations

from raybench.catalog.datasets.base import Dataset, Generated, Split, Splits

NUM_CLASSES = 10


def make(train_images: int, eval_images: int) -> Splits:
    """Return the first images of two streams of noise."""
    return _noise(train_images, stream=0), _noise(eval_images, stream=1)


def _noise(images: int, stream: int) -> Split:
    """Return noise with labels that take turns.

    The raw output of PCG64 is the same on every machine and in every version of numpy.
    """
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    raw = np.random.PCG64([0, stream]).random_raw(images * 32 * 32 * 3 // 8)
    pixels = raw.astype("<u8", copy=False).view(np.uint8)
    labels = np.arange(images, dtype=np.int64) % NUM_CLASSES
    return Split(pixels.reshape(images, 32, 32, 3), labels)


DATASET = Dataset(
    name="synthetic",
    title="synthetic",
    train_images=50_000,
    eval_images=10_000,
    num_classes=NUM_CLASSES,
    source=Generated(make),
)
