"""CIFAR-10 (Krizhevsky, 2009): photographs of animals and vehicles, 32×32, RGB."""

from __future__ import annotations

import pickle
from pathlib import Path

from raybench.catalog.datasets.archives import Published, PublishedFile
from raybench.catalog.datasets.base import Dataset, Split, Splits

FILES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
"""The published files by their names, with their MD5s."""


def read(folder: Path) -> Splits:
    """Return both splits from the published pickles, which are read once their MD5s are right."""
    names = [name for name in FILES if name.startswith("data_batch")]
    return _read(folder, names), _read(folder, ["test_batch"])


def _read(folder: Path, names: list[str]) -> Split:
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    batches = [pickle.loads((folder / name).read_bytes(), encoding="latin1") for name in names]
    pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch["labels"] for batch in batches])
    return Split(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), labels.astype(np.int64))


DATASET = Dataset(
    name="cifar10",
    title="CIFAR10",
    train_images=50_000,
    eval_images=10_000,
    num_classes=10,
    source=Published(
        torchvision_class="CIFAR10",
        files=tuple(
            PublishedFile(path=f"cifar-10-batches-py/{name}", md5=md5)
            for name, md5 in FILES.items()
        ),
        archive=PublishedFile(
            path="cifar-10-python.tar.gz", md5="c58f30108f718f92721af3b95e74349a"
        ),
    ),
    read=read,
    checksums=(
        "41af9bc2be0dc8a98d0fd575ba0026e5709b9a8d65f5491cc49c2c1ac375fb3c",
        "a50cea97d3194c15c5f5796638a4b520156bd5c22dd97d0a9fa10fc1348ba1f2",
    ),
)
