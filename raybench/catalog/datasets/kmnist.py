"""KMNIST (Clanuwat et al., 2018): handwritten characters of old Japanese, 28×28, grey."""

from raybench.catalog.datasets.mnist import mnist_like

DATASET = mnist_like(
    "KMNIST",
    gz_md5=(
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
)
