"""The idx format of the MNIST family: a header of two zeros, 8 for uint8, and the dimensions."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from raybench.catalog.datasets.arrays import Split, Splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def idx_problem(path: Path, shape: tuple[int, ...]) -> str | None:
    """Return in what an unpacked file's header or size is not that of a shape, or None."""
    expected = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    with path.open("rb") as file:
        header = file.read(len(expected))
    if header[:4] != expected[:4]:
        return f"its magic number is 0x{header[:4].hex()}, and should be 0x{expected[:4].hex()}"
    found = struct.unpack(f">{len(shape)}I", header[4:]) if len(header) == len(expected) else ()
    if found != shape:
        return f"its header says {_times(found)}, and should say {_times(shape)}"
    size, whole = path.stat().st_size, len(expected) + math.prod(shape)
    return None if size == whole else f"it has {size:,} bytes, and should have {whole:,}"


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(f"{length:,}" for length in shape) or "nothing"


def read_split(images: Path, labels: Path) -> Split:
    """Return the images and labels of two sound files, packed or unpacked."""
    return Split(_read(images), _read(labels).astype("int64"))


def read_idx(folder: Path) -> Splits:
    """Return both splits from the family's four unpacked files."""
    train, evaluation = (
        read_split(folder / f"{split}-images-idx3-ubyte", folder / f"{split}-labels-idx1-ubyte")
        for split in ("train", "t10k")
    )
    return train, evaluation


def _read(path: Path) -> NDArray[np.uint8]:
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    dimensions = content[3]
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
