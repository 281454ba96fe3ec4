"""KMNIST (Clanuwat et al., 2018): handwritten characters of old Japanese, 28×28, grey."""

from raybench.catalog.datasets.archives import idx_archives
from raybench.catalog.datasets.base import Dataset
from raybench.catalog.datasets.idx import read_idx

DATASET = Dataset(
    name="kmnist",
    title="KMNIST",
    train_images=60_000,
    eval_images=10_000,
    num_classes=10,
    source=idx_archives(
        "KMNIST",
        gz_md5=(
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
    read=read_idx,
)
