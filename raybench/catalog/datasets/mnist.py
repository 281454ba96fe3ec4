"""MNIST (LeCun et al., 1998): handwritten digits, 28×28, grey."""

from raybench.catalog.datasets.archives import idx_archives
from raybench.catalog.datasets.base import Dataset
from raybench.catalog.datasets.idx import read_idx

DATASET = Dataset(
    name="mnist",
    title="MNIST",
    train_images=60_000,
    eval_images=10_000,
    num_classes=10,
    source=idx_archives(
        "MNIST",
        gz_md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    read=read_idx,
    checksums=(
        "4fe68486e5e44dcd1b89e5095ba872c92c20a09820c4a49ecbb6b3ddbe7eb2a4",
        "723a42c2174de38fc8b9598094321c50995be743378bbe83273e78e6000dc3b2",
    ),
)
