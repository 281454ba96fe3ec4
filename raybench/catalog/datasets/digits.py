"""Digits, which come with scikit-learn: 1,797 handwritten digits, 8×8, grey."""

from __future__ import annotations

from pathlib import Path

from raybench.catalog.datasets.base import Dataset, Package, Split, Splits


def read(_: Path) -> Splits:
    """Return the digits: every fifth, from the first, is for evaluation.

    Their values of 0 to 16 are spread over 0 to 255.
    """
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy
    from sklearn.datasets import load_digits  # noqa: PLC0415 - specs are checked without it

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    chosen = np.arange(len(labels)) % 5 == 0
    return Split(images[~chosen], labels[~chosen]), Split(images[chosen], labels[chosen])


DATASET = Dataset(
    name="digits",
    title="digits",
    train_images=1_437,
    eval_images=360,
    num_classes=10,
    source=Package("scikit-learn"),
    read=read,
)
