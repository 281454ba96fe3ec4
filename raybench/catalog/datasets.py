"""The datasets that raybench can train on: what they are, and how they are read.

A dataset is decoded once a host into a folder of plain uint8 arrays (``RAYBENCH_CACHE``, or the
user's cache folder), which every trial there maps into its memory. The arrays carry checksums and
are tied to the files they were made from, so neither damage nor changed data goes unnoticed.

To add a dataset, add a row to ``DATASETS`` and a reader to ``_READERS``. Specs are checked with
this module, so its head imports neither numpy nor torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.catalog.dataset_files import FILES, data_root, located, unpack
from raybench.errors import DataError, SpecError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DATASETS",
    "DatasetRow",
    "ImageSet",
    "Split",
    "cache_root",
    "canonical_dataset",
    "check_limits",
    "data_root",
    "load_dataset",
]

CACHE_FORMAT = 1
ARRAYS = ("train_images", "train_labels", "eval_images", "eval_labels")


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

    def first(self, count: int | None) -> Split:
        """Return the first ``count`` images, or all for None."""
        return Split(images=self.images[:count], labels=self.labels[:count])


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """A dataset as a trial uses it.

    Attributes:
        name: as in ``DATASETS``.
        train: the images to train on.
        eval: the images to evaluate on.
        num_classes: classes; labels run from 0 to num_classes - 1.
        fingerprint: a hash of exactly these images and labels.
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
    if name == "synthetic":
        train = _synthetic(train_limit or row.train_images, stream=0)
        evaluation = _synthetic(eval_limit or row.eval_images, stream=1)
    else:
        whole = _cached(name, root)
        train = whole["train"].first(train_limit)
        evaluation = whole["eval"].first(eval_limit)
    return ImageSet(
        name=name,
        train=train,
        eval=evaluation,
        num_classes=row.num_classes,
        fingerprint=_fingerprint(train, evaluation),
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
                cure=f"lower {field}, or leave it out for all {images:,}",
            )


def cache_root() -> Path:
    """Return the folder of decoded datasets: ``RAYBENCH_CACHE``, or the user's cache folder."""
    given = os.environ.get("RAYBENCH_CACHE")
    if given:
        return Path(given)
    import platformdirs  # noqa: PLC0415 - `--help` should not wait for it

    return platformdirs.user_cache_path("raybench")


def _cached(name: str, root: Path) -> dict[str, Split]:
    """Return both splits, mapped from the cache, decoding them first where that is needed."""
    source = _source(name, root)
    key = hashlib.sha256(json.dumps([CACHE_FORMAT, name, source]).encode()).hexdigest()[:16]
    folder = cache_root() / "datasets" / f"{name}-{key}"
    # Other trials may be writing or replacing the same folder; each attempt sees what they did.
    for _ in range(3):
        arrays = _read_cache(folder)
        if arrays is not None:
            return {
                split: Split(images=arrays[f"{split}_images"], labels=arrays[f"{split}_labels"])
                for split in ("train", "eval")
            }
        try:
            _write_cache(folder, name, root)
        except OSError as error:
            raise DataError(
                f"cannot write the decoded {name} to {folder.parent}: {error.strerror or error}",
                cure="make room there, or set RAYBENCH_CACHE to another folder",
            ) from None
    raise DataError(
        f"the decoded {name} in {folder} is damaged as soon as it is written",
        cure="set RAYBENCH_CACHE to a folder on another disk",
    )


def _source(name: str, root: Path) -> Any:
    """Return what tells one state of a dataset's source from another."""
    if name == "digits":
        return importlib.metadata.version("scikit-learn")
    return [
        [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]
        for path in located(name, root)
    ]


def _read_cache(folder: Path) -> dict[str, Any] | None:
    """Return the arrays of a cache folder, or None where it is absent or damaged."""
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    try:
        checksums = json.loads((folder / "sha256.json").read_bytes())
        # "c" maps copy-on-write: trials share the pages, and none can write to the file.
        arrays = {
            part: np.load(folder / f"{part}.npy", mmap_mode="c", allow_pickle=False)
            for part in ARRAYS
        }
    except (OSError, ValueError):
        return None
    intact = all(checksums.get(part) == _digest(arrays[part]) for part in ARRAYS)
    return arrays if intact else None


def _write_cache(folder: Path, name: str, root: Path) -> None:
    """Decode a dataset and move it into place, whole or not at all."""
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{name}-", dir=folder.parent, ignore_cleanup_errors=True
    ) as scratch:
        unpacked, fresh = Path(scratch, "source"), Path(scratch, "decoded")
        if name in FILES:
            unpack(name, root, unpacked)
        train, evaluation = _READERS[name](unpacked)
        _check_shape(name, train, evaluation)
        fresh.mkdir()
        checksums = {}
        for part, array in _arrays(train, evaluation).items():
            np.save(fresh / f"{part}.npy", array, allow_pickle=False)
            checksums[part] = _digest(array)
        (fresh / "sha256.json").write_text(json.dumps(checksums))
        _move_into_place(fresh, folder, aside=Path(scratch, "damaged"))


def _move_into_place(fresh: Path, folder: Path, aside: Path) -> None:
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        if _read_cache(folder) is not None:
            return  # another trial was quicker, with the same arrays
        # Yet another trial may be replacing what is damaged just now; the caller looks again.
        with contextlib.suppress(OSError):
            folder.rename(aside)
            fresh.rename(folder)


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
                cure=f"remove its files, then `raybench data fetch {name}`",
            )


def _digest(array: NDArray[Any]) -> str:
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    head = f"{array.dtype.str} {array.shape} ".encode()
    content = hashlib.sha256(head)
    content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()


def _fingerprint(train: Split, evaluation: Split) -> str:
    digests = map(_digest, _arrays(train, evaluation).values())
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


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

    with warnings.catch_warnings():
        # The published pickles spell a numpy dtype in a way that newer versions frown upon.
        warnings.simplefilter("ignore")
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
