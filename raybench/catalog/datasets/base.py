"""What a dataset is: its name and size, where its images come from, how they are read.

A package of the user's own adds one by an object such as ::

    from raybench.catalog.datasets.base import Dataset, Folder, Split

    DATASET = Dataset(
        name="flowers", title="Flowers", train_images=200, eval_images=40, num_classes=2,
        source=Folder("flowers"),  # below RAYBENCH_DATA
        read=read,                 # (folder) -> (Split(images, labels), Split(images, labels))
    )

and an entry point of the group ``raybench.datasets`` that names it. Specs are checked with this
module, so it imports neither numpy nor torch.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raybench.catalog.datasets.arrays import Split, Splits
from raybench.catalog.datasets.sources import Folder, Generated, Package, Source
from raybench.catalog.registry import check_name, reason
from raybench.errors import DataError, RaybenchError, SpecError

__all__ = ["Dataset", "Folder", "Generated", "ImageSet", "Package", "Split", "Splits"]


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """A dataset as a trial uses it."""

    name: str
    train: Split
    eval: Split
    num_classes: int
    fingerprint: str
    """a hash of the dataset's content and of how much of it is used"""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset before it is read.

    Attributes:
        name: what specs call it.
        title: what tables call it.
        train_images: images to train on.
        eval_images: images to evaluate on.
        num_classes: classes; labels run from 0 to num_classes - 1.
        source: where its images come from, and what tells one state of them from another.
        read: makes the images to train on and those to evaluate on from the source's folder. It
            is called once for each state of the source and of the file that defines it; what it
            needs to import beyond that, it imports itself. Not used with ``Generated``.
        checksums: of the decoded images to train on and of those to evaluate on
            (``Split.checksum``), whatever their layout on disk; None where they are not known.
    """

    name: str
    title: str
    train_images: int
    eval_images: int
    num_classes: int
    source: Source
    read: Callable[[Path], Splits] | None = None
    checksums: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if (self.read is None) != isinstance(self.source, Generated):
            raise SpecError(
                f"the dataset {self.name!r} has {'no' if self.read is None else 'a'} reader",
                allowed="read=… with every source but Generated, which makes its images itself",
            )

    def check_limits(self, train_limit: int | None, eval_limit: int | None) -> None:
        """Refuse a limit larger than the dataset, without loading it.

        Raises:
            DataError: with the dataset's size.
        """
        for field, limit, images, use in (
            ("train_limit", train_limit, self.train_images, "train"),
            ("eval_limit", eval_limit, self.eval_images, "evaluate"),
        ):
            if limit is not None and limit > images:
                raise DataError(
                    f"{field} is {limit:,}, but {self.title} has {images:,} images to {use} on",
                    allowed=f"{field} from 1 to {images}",
                    hint=f"lower {field}, or leave it out for all {images:,}",
                )

    def decoded(self, root: Path, scratch: Path) -> Splits:
        """Read all images from their source, and check that they are what they should be.

        Raises:
            DataError: the source is absent or damaged, or the reader fails or returns something
                else than the dataset.
        """
        assert self.read is not None, "generated images are not read"
        folder = self.source.laid_out(self.name, root, scratch)
        try:
            splits = self.read(folder)
        except RaybenchError:
            raise
        except Exception as error:
            raise DataError(
                f"{self.title} cannot be read from {folder}: {reason(error, self._module)}"
            ) from error
        if not (isinstance(splits, tuple) and [type(split) for split in splits] == [Split, Split]):
            raise DataError(
                f"the reader of {self.title} does not return two splits",
                allowed="(Split(images, labels), Split(images, labels)): to train, to evaluate",
            )
        train, evaluation = (_plain(split, self.title) for split in splits)
        self._check(train, evaluation)
        return train, evaluation

    @functools.cached_property
    def reader_checksum(self) -> str:
        """SHA-256 of the file that defines the reader: another reader decodes anew."""
        file = getattr(sys.modules.get(self._module), "__file__", None)
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""

    @property
    def _module(self) -> str:
        read = self.read.func if isinstance(self.read, functools.partial) else self.read
        return str(getattr(read, "__module__", ""))

    def _check(self, train: Split, evaluation: Split) -> None:
        expected = self.checksums or (None, None)
        for split, images, published in zip(
            (train, evaluation), (self.train_images, self.eval_images), expected, strict=True
        ):
            labels = split.labels
            fit = len(labels) and labels.min() >= 0 and labels.max() < self.num_classes
            if len(split.images) != images or len(labels) != images or not fit:
                held = f" from {labels.min()} to {labels.max()}" if len(labels) else ""
                raise DataError(
                    f"{self.title} holds {len(split.images)} images and {len(labels)} labels{held}",
                    allowed=f"{images} of each, labels from 0 to {self.num_classes - 1}",
                    hint=f"see `raybench data verify {self.name}`",
                )
            if published and split.checksum != published:
                raise DataError(
                    f"the {images:,} images and labels decoded from {self.title} are not those "
                    f"that were published: their SHA-256 is {split.checksum}, "
                    f"and should be {published}",
                    hint=f"remove its files, then `raybench data fetch {self.name}`",
                )


def _plain(split: Split, title: str) -> Split:
    """Return a reader's arrays as trials use them.

    Raises:
        DataError: they are of another type or shape.
    """
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    images, labels = np.asarray(split.images), np.asarray(split.labels)
    grey_or_rgb = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    integers = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    if images.dtype != np.uint8 or not grey_or_rgb or not integers:
        raise DataError(
            f"the reader of {title} returns images of {images.dtype} {list(images.shape)} and "
            f"labels of {labels.dtype} {list(labels.shape)}",
            allowed="images of uint8 [N, H, W] or [N, H, W, 3], labels of integers [N]",
        )
    return Split(np.ascontiguousarray(images), labels.astype(np.int64))
