"""The datasets that raybench can train on: what they are, and how they are read.

To add a dataset, add a row to ``DATASETS`` and a reader to ``_READERS``. Specs are checked with
this module, so its head imports neither numpy nor torch.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.catalog.datasets.archives import FILES, located, unpack
from raybench.catalog.datasets.cache import cached, checksum
from raybench.errors import DataError, SpecError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DATASETS",
    "DatasetRow",
    "ImageSet",
    "Split",
    "canonical_dataset",
    "check_limits",
    "check_present",
    "load_dataset",
]


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """What has to be known of a dataset before it is loaded.

    Attributes:
        title: what tables call it.
        train_images: images to train on.
        eval_images: images to evaluate on.
        num_classes: classes; labels run from 0 to num_classes - 1.
    """

    title: str
    train_images: int
    eval_images: int
    num_classes: int = 10


DATASETS: dict[str, DatasetRow] = {
    "cifar10": DatasetRow(title="CIFAR10", train_images=50_000, eval_images=10_000),
    "mnist": DatasetRow(title="MNIST", train_images=60_000, eval_images=10_000),
    "kmnist": DatasetRow(title="KMNIST", train_images=60_000, eval_images=10_000),
    "fashionmnist": DatasetRow(title="FashionMNIST", train_images=60_000, eval_images=10_000),
    "digits": DatasetRow(title="digits", train_images=1_437, eval_images=360),
    "synthetic": DatasetRow(title="synthetic", train_images=50_000, eval_images=10_000),
}


def canonical_dataset(name: str) -> str:
    """Return the dataset's name as the table spells it.

    Raises:
        SpecError: no such dataset is known.
    """
    if name.casefold() in DATASETS:
        return name.casefold()
    raise SpecError(
        f"unknown dataset {name!r}. {nearest(name, DATASETS)}".rstrip(),
        allowed=", ".join(DATASETS),
    )


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images and their labels.

    Attributes:
        images: uint8 [N, H, W] (grey) or [N, H, W, 3] (RGB).
        labels: int64 [N].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """A dataset as a trial uses it.

    Attributes:
        name: as in ``DATASETS``.
        train: the images to train on.
        eval: the images to evaluate on.
        num_classes: classes; labels run from 0 to num_classes - 1.
        fingerprint: a hash of the dataset's content and of how much of it is used.
    """

    name: str
    train: Split
    eval: Split
    num_classes: int
    fingerprint: str


def load_dataset(
    name: str, root: Path, *, train_limit: int | None, eval_limit: int | None
) -> ImageSet:
    """Return a dataset, or the first ``train_limit`` and ``eval_limit`` images of it.

    Args:
        name: as in ``DATASETS``.
        root: the folder that the datasets lie in; digits and synthetic need none.
        train_limit: images to train on, or None for all.
        eval_limit: images to evaluate on, or None for all.

    Raises:
        DataError: the dataset is absent, damaged or smaller than a limit.
    """
    check_limits(name, train_limit=train_limit, eval_limit=eval_limit)
    row = DATASETS[name]
    counts = (train_limit or row.train_images, eval_limit or row.eval_images)
    if name == "synthetic":
        arrays = _arrays(*(_synthetic(count, stream) for stream, count in enumerate(counts)))
        checksums = {part: checksum(array) for part, array in arrays.items()}
    else:
        found = cached(name, _source(name, root), lambda scratch: _decode(name, root, scratch))
        arrays, checksums = found.arrays, found.checksums
    train, evaluation = (
        Split(images=arrays[f"{split}_images"][:count], labels=arrays[f"{split}_labels"][:count])
        for split, count in zip(("train", "eval"), counts, strict=True)
    )
    identity = json.dumps([checksums, counts], sort_keys=True)
    return ImageSet(
        name=name,
        train=train,
        eval=evaluation,
        num_classes=row.num_classes,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
    )


def check_limits(name: str, *, train_limit: int | None, eval_limit: int | None) -> None:
    """Refuse a limit larger than the dataset, without loading it.

    Raises:
        DataError: with the dataset's size.
    """
    row = DATASETS[name]
    for field, limit, images, use in (
        ("train_limit", train_limit, row.train_images, "train"),
        ("eval_limit", eval_limit, row.eval_images, "evaluate"),
    ):
        if limit is not None and limit > images:
            raise DataError(
                f"{field} is {limit:,}, but {row.title} has {images:,} images to {use} on",
                allowed=f"{field} from 1 to {images}",
                hint=f"lower {field}, or leave it out for all {images:,}",
            )


def check_present(name: str, root: Path) -> None:
    """Refuse a dataset whose files are not there, without reading them.

    Raises:
        DataError: with the commands that get it.
    """
    if name in FILES:
        located(name, root)


def _source(name: str, root: Path) -> Any:
    """Return what tells one state of a dataset's source from another."""
    if name not in FILES:
        return importlib.metadata.version("scikit-learn")
    stats = [(path.resolve(), path.stat()) for path in located(name, root)]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]


def _decode(name: str, root: Path, scratch: Path) -> dict[str, NDArray[Any]]:
    if name in FILES:
        unpack(name, root, scratch)
    train, evaluation = _READERS[name](scratch)
    _check_shape(name, train, evaluation)
    return _arrays(train, evaluation)


def _check_shape(name: str, train: Split, evaluation: Split) -> None:
    """Refuse a dataset that is not what the table says, such as a label out of range."""
    row = DATASETS[name]
    for split, images in ((train, row.train_images), (evaluation, row.eval_images)):
        labels_fit = split.labels.min() >= 0 and split.labels.max() < row.num_classes
        if len(split.images) != images or len(split.labels) != images or not labels_fit:
            raise DataError(
                f"{row.title} holds {len(split.images)} images and {len(split.labels)} labels from "
                f"{split.labels.min()} to {split.labels.max()}",
                allowed=f"{images} of each, labels from 0 to {row.num_classes - 1}",
                hint=f"remove its files, then `raybench data fetch {name}`",
            )


def _arrays(train: Split, evaluation: Split) -> dict[str, NDArray[Any]]:
    return {
        "train_images": train.images,
        "train_labels": train.labels,
        "eval_images": evaluation.images,
        "eval_labels": evaluation.labels,
    }


def _read_mnist_family(class_name: str) -> Callable[[Path], tuple[Split, Split]]:
    def read(unpacked: Path) -> tuple[Split, Split]:
        from torchvision import datasets  # noqa: PLC0415 - specs are checked without torch

        sets = [getattr(datasets, class_name)(unpacked, train=train) for train in (True, False)]
        first, second = (
            Split(images=images.data.numpy(), labels=images.targets.numpy()) for images in sets
        )
        return first, second

    return read


def _read_cifar10(unpacked: Path) -> tuple[Split, Split]:
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy
    from torchvision import datasets  # noqa: PLC0415 - specs are checked without torch

    sets = [datasets.CIFAR10(unpacked, train=train) for train in (True, False)]
    first, second = (
        Split(
            images=np.ascontiguousarray(images.data),
            labels=np.asarray(images.targets, dtype=np.int64),
        )
        for images in sets
    )
    return first, second


def _read_digits(_: Path) -> tuple[Split, Split]:
    """Return scikit-learn's 1,797 digits of 8×8: every fifth, from the first, is for evaluation.

    Their values of 0 to 16 are spread over 0 to 255.
    """
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy
    from sklearn.datasets import load_digits  # noqa: PLC0415 - specs are checked without it

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    chosen = np.arange(len(labels)) % 5 == 0
    return (
        Split(images=images[~chosen], labels=labels[~chosen]),
        Split(images=images[chosen], labels=labels[chosen]),
    )


def _synthetic(images: int, stream: int) -> Split:
    """Return noise, [N, 32, 32, 3], with labels that take turns: accuracy means nothing here.

    The raw output of PCG64 is the same on every machine and in every version of numpy.
    """
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    raw = np.random.PCG64([0, stream]).random_raw(images * 32 * 32 * 3 // 8)
    pixels = raw.astype("<u8", copy=False).view(np.uint8)
    return Split(
        images=pixels.reshape(images, 32, 32, 3),
        labels=np.arange(images, dtype=np.int64) % DATASETS["synthetic"].num_classes,
    )


_READERS: dict[str, Callable[[Path], tuple[Split, Split]]] = {
    "cifar10": _read_cifar10,
    "mnist": _read_mnist_family("MNIST"),
    "kmnist": _read_mnist_family("KMNIST"),
    "fashionmnist": _read_mnist_family("FashionMNIST"),
    "digits": _read_digits,
}
