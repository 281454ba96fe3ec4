"""The datasets that raybench can train on."""

from __future__ import annotations

from dataclasses import dataclass

from raybench.errors import SpecError, nearest


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """What has to be known of a dataset before it is loaded.

    Attributes:
        title: what tables call it.
    """

    title: str


DATASETS: dict[str, DatasetRow] = {
    "cifar10": DatasetRow(title="CIFAR10"),
    "mnist": DatasetRow(title="MNIST"),
    "kmnist": DatasetRow(title="KMNIST"),
    "fashionmnist": DatasetRow(title="FashionMNIST"),
    "digits": DatasetRow(title="digits"),
    "synthetic": DatasetRow(title="synthetic"),
}


def canonical_dataset(name: str) -> str:
    """Return the dataset's name as the table spells it.

    Raises:
        SpecError: no such dataset is known.
    """
    if name.casefold() in DATASETS:
        return name.casefold()
    raise SpecError(
        f"unknown dataset {name!r}. {nearest(name, DATASETS)}".rstrip(),
        allowed=", ".join(DATASETS),
    )
