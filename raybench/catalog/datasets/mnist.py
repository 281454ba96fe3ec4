"""MNIST (LeCun et al., 1998): handwritten digits, 28×28, grey; and what its family shares."""

from __future__ import annotations

from collections.abc import Sequence

from raybench.catalog.datasets.archives import Published, PublishedFile
from raybench.catalog.datasets.base import Dataset
from raybench.catalog.datasets.idx import read_idx


def mnist_like(
    torchvision_class: str, *, gz_md5: Sequence[str], checksums: tuple[str, str] | None = None
) -> Dataset:
    """Return a dataset of the MNIST family, by the class that downloads it.

    Args:
        torchvision_class: in ``torchvision.datasets``.
        gz_md5: published checksums of the packed images and labels to train on, then to evaluate.
        checksums: as of any dataset.
    """
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    shapes = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
    files = tuple(
        PublishedFile(path=f"{torchvision_class}/raw/{name}-ubyte", shape=shape, gz_md5=md5)
        for name, shape, md5 in zip(names, shapes, gz_md5, strict=True)
    )
    return Dataset(
        name=torchvision_class.lower(),
        title=torchvision_class,
        train_images=60_000,
        eval_images=10_000,
        num_classes=10,
        source=Published(torchvision_class=torchvision_class, files=files),
        read=read_idx,
        checksums=checksums,
    )


DATASET = mnist_like(
    "MNIST",
    gz_md5=(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    checksums=(
        "4fe68486e5e44dcd1b89e5095ba872c92c20a09820c4a49ecbb6b3ddbe7eb2a4",
        "723a42c2174de38fc8b9598094321c50995be743378bbe83273e78e6000dc3b2",
    ),
)
