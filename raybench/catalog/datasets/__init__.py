"""The datasets that raybench can train on.

To add one, write a file beside this one that holds a ``DATASET``, and add its name to
``BUILT_IN``; a package of your own adds one by an entry point (``datasets.base``).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.catalog.datasets.arrays import checksum
from raybench.catalog.datasets.base import Dataset, ImageSet, Split, Splits
from raybench.catalog.datasets.cache import cached
from raybench.catalog.datasets.sources import Finding, Generated
from raybench.catalog.registry import Registry
from raybench.errors import DataError, SpecError
from raybench.settings import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DATASETS", "ImageSet", "Split", "listed", "load_dataset", "verify"]

BUILT_IN = ("cifar10", "mnist", "kmnist", "fashionmnist", "digits", "synthetic")
"""Modules beside this one, in the order of tables."""


def _built_in() -> Iterator[Dataset]:
    for name in BUILT_IN:
        yield importlib.import_module(f"{__name__}.{name}").DATASET


DATASETS = Registry("dataset", Dataset, "raybench.datasets", _built_in)
"""Every dataset by its name."""


def load_dataset(
    name: str, workspace: Workspace, *, train_limit: int | None, eval_limit: int | None
) -> ImageSet:
    """Return a dataset, or the first ``train_limit`` and ``eval_limit`` images of it.

    Raises:
        DataError: the dataset is absent, damaged or smaller than a limit.
    """
    dataset = DATASETS[name]
    dataset.check_limits(train_limit, eval_limit)
    train_count, eval_count = train_limit or dataset.train_images, eval_limit or dataset.eval_images
    if isinstance(dataset.source, Generated):
        arrays = _arrays(dataset.source.make(train_count, eval_count))
        checksums = {part: checksum(array) for part, array in arrays.items()}
    else:
        state = dataset.source.state(name, workspace.data)
        arrays, checksums = cached(
            name,
            [state, DATASETS.origin(name), dataset.reader_checksum],
            lambda scratch: _arrays(dataset.decoded(workspace.data, scratch)),
            workspace.cache,
        )
    identity = json.dumps([checksums, (train_count, eval_count)], sort_keys=True)
    return ImageSet(
        name=name,
        train=Split(arrays["train_images"][:train_count], arrays["train_labels"][:train_count]),
        eval=Split(arrays["eval_images"][:eval_count], arrays["eval_labels"][:eval_count]),
        num_classes=dataset.num_classes,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
    )


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What ``raybench data list`` says of a dataset; little more than its name if it is broken."""

    name: str
    title: str | None = None
    train_images: int | None = None
    eval_images: int | None = None
    num_classes: int | None = None
    origin: str
    state: str
    """``present``, ``absent``, or what else is wrong with it"""


def listed(root: Path) -> list[Listed]:
    """Describe every dataset, where ``root`` is the data folder.

    Raises:
        SpecError: two packages use one name.
    """
    return [_listed(name, root) for name in DATASETS]


def _listed(name: str, root: Path) -> Listed:
    origin = DATASETS.origin(name)
    try:
        dataset = DATASETS[name]
    except SpecError as error:
        return Listed(name=name, origin=origin, state=error.message)
    return Listed(
        name=name,
        title=dataset.title,
        train_images=dataset.train_images,
        eval_images=dataset.eval_images,
        num_classes=dataset.num_classes,
        origin=origin,
        state=dataset.source.presence(name, root),
    )


def verify(name: str, root: Path) -> list[Finding]:
    """Look at each file of a dataset, and where all are sound at what is decoded from them."""
    dataset = DATASETS[name]
    findings = dataset.source.findings(name, root)
    if any(finding.state != "ok" for finding in findings) or dataset.read is None:
        return findings
    folder = dataset.source.folder(root)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            train, evaluation = dataset.decoded(root, Path(scratch))
    except DataError as error:
        return [*findings, Finding(name, folder, "damaged", error.message)]
    known = "no checksum of the arrays is known here, structure checked"
    if dataset.checksums:
        known = "their checksums match"
    size = "×".join(map(str, train.images.shape[1:]))
    detail = f"{len(train):,} and {len(evaluation):,} images of {size} decoded; {known}"
    return [*findings, Finding(name, folder, "ok", detail)]


def _arrays(splits: Splits) -> dict[str, NDArray[Any]]:
    train, evaluation = splits
    return {
        "train_images": train.images,
        "train_labels": train.labels,
        "eval_images": evaluation.images,
        "eval_labels": evaluation.labels,
    }
