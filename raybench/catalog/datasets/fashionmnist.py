"""Fashion-MNIST (Xiao et al., 2017): pieces of clothing, 28×28, grey."""

from raybench.catalog.datasets.mnist import mnist_like

DATASET = mnist_like(
    "FashionMNIST",
    gz_md5=(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)
