"""Images and labels in memory. Specs are checked with this module, so it imports no numpy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    Attributes:
        images: uint8 [N, H, W] (grey) or [N, H, W, 3] (RGB).
        labels: int64 [N].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def checksum(self) -> str:
        """SHA-256 of both arrays' types, shapes and contents."""
        both = checksum(self.images) + checksum(self.labels)
        return hashlib.sha256(both.encode()).hexdigest()


Splits: TypeAlias = tuple[Split, Split]
"""The images to train on, and those to evaluate on."""


def checksum(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's type, shape and content."""
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    content = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()
