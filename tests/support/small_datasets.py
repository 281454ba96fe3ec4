"""A small KMNIST, in the published format but not of the published size, for tests to damage."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raybench.catalog import datasets
from raybench.catalog.datasets import archives as dataset_files

REAL_DATA = Path(
    os.environ.get("RAYBENCH_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")
)
"""Where the published MNIST and CIFAR-10 may lie; tests that want them skip where they do not."""

TRAIN_IMAGES, EVAL_IMAGES = 40, 12


def idx(array: np.ndarray) -> bytes:
    """Return an array of uint8 in the idx format of the MNIST family."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def contents(seed: int = 0) -> dict[str, bytes]:
    """Return the four unpacked files by their names."""
    random = np.random.default_rng(seed)
    return {
        f"{split}-{part}-ubyte": idx(array)
        for split, count in (("train", TRAIN_IMAGES), ("t10k", EVAL_IMAGES))
        for part, array in (
            ("images-idx3", random.integers(0, 256, (count, 28, 28))),
            ("labels-idx1", random.integers(0, 10, count)),
        )
    }


def packed(seed: int = 0) -> dict[str, bytes]:
    """Return the four packed files by their names."""
    return {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in contents(seed).items()}


def write(files: dict[str, bytes], folder: Path) -> Path:
    """Write files to a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def publish(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the small KMNIST of seed 0 the one whose sizes and checksums are published."""
    checksums = {name: hashlib.md5(data).hexdigest() for name, data in packed().items()}
    small = []
    for file in dataset_files.FILES["kmnist"]:
        count = TRAIN_IMAGES if "train" in file.path else EVAL_IMAGES
        gz_md5 = checksums[f"{Path(file.path).name}.gz"]
        small.append(replace(file, shape=(count, *file.shape[1:]), gz_md5=gz_md5))
    row = replace(datasets.DATASETS["kmnist"], train_images=TRAIN_IMAGES, eval_images=EVAL_IMAGES)
    monkeypatch.setitem(dataset_files.FILES, "kmnist", small)
    monkeypatch.setitem(datasets.DATASETS, "kmnist", row)


def publish_cifar_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write an archive like CIFAR-10's with other content, and make that the published one."""
    batches = {Path(file.path).name: file.path.encode() for file in dataset_files.FILES["cifar10"]}
    write(batches | {"readme.html": b"more"}, folder / "cifar-10-batches-py")
    path = folder / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "cifar-10-batches-py", "cifar-10-batches-py")
    shutil.rmtree(folder / "cifar-10-batches-py")
    published = dataset_files.ARCHIVES["cifar10"]
    checksum = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(dataset_files.ARCHIVES, "cifar10", replace(published, md5=checksum))
    return path
