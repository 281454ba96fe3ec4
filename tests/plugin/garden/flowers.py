"""Flowers, 8×8, RGB: dark ones and bright ones, a file a split."""

from __future__ import annotations

from pathlib import Path

from raybench.catalog.datasets.base import Dataset, Folder, Split


def read(folder: Path) -> tuple[Split, Split]:
    """Return both splits from their files."""
    return _split(folder / "train.npz"), _split(folder / "garden" / "evaluation.npz")


def _split(path: Path) -> Split:
    import numpy as np

    with np.load(path) as arrays:
        return Split(arrays["images"], arrays["labels"])


DATASET = Dataset(
    name="flowers",
    title="Flowers",
    train_images=24,
    eval_images=8,
    num_classes=2,
    source=Folder("flowers"),
    read=read,
)
