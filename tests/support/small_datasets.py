"""A small KMNIST, in the published format but not of the published size, for tests to damage."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raybench.catalog.datasets import DATASETS
from raybench.catalog.datasets.archives import Published
from raybench.catalog.datasets.base import Dataset
from raybench.catalog.datasets.idx import read_idx

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


def published(name: str) -> Published:
    """Return the source of a dataset that is published as files."""
    source = DATASETS[name].source
    assert isinstance(source, Published)
    return source


def publish(
    monkeypatch: pytest.MonkeyPatch, name: str = "kmnist", *, checksums_are_known: bool = False
) -> Dataset:
    """Make the small KMNIST of seed 0 the one whose sizes and checksums are published.

    Args:
        monkeypatch: undoes it.
        name: the dataset that it becomes, one of the MNIST family.
        checksums_are_known: whether those of the decoded arrays are known.
    """
    md5 = {name: hashlib.md5(data).hexdigest() for name, data in packed().items()}
    source = published(name)
    files = tuple(
        replace(
            file,
            shape=(TRAIN_IMAGES if "train" in file.path else EVAL_IMAGES, *file.shape[1:]),
            gz_md5=md5[f"{file.name}.gz"],
        )
        for file in source.files
    )
    dataset = replace(
        DATASETS[name],
        train_images=TRAIN_IMAGES,
        eval_images=EVAL_IMAGES,
        source=replace(source, files=files),
        checksums=checksums() if checksums_are_known else None,
    )
    monkeypatch.setitem(DATASETS.built_in, name, dataset)
    return dataset


def checksums(seed: int = 0) -> tuple[str, str]:
    """Return the checksums of what is decoded from ``contents(seed)``."""
    with tempfile.TemporaryDirectory() as folder:
        train, evaluation = read_idx(write(contents(seed), Path(folder)))
    return train.checksum, evaluation.checksum


def publish_cifar_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write an archive like CIFAR-10's with other content, and make that the published one."""
    source = published("cifar10")
    batches = {file.name: file.path.encode() for file in source.files}
    write(batches | {"readme.html": b"more"}, folder / "cifar-10-batches-py")
    path = folder / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "cifar-10-batches-py", "cifar-10-batches-py")
    shutil.rmtree(folder / "cifar-10-batches-py")
    assert source.archive is not None
    packed_up = replace(source.archive, md5=hashlib.md5(path.read_bytes()).hexdigest())
    files = tuple(
        replace(file, md5=hashlib.md5(batches[file.name]).hexdigest()) for file in source.files
    )
    small = replace(DATASETS["cifar10"], source=replace(source, archive=packed_up, files=files))
    monkeypatch.setitem(DATASETS.built_in, "cifar10", small)
    return path
