"""Decoded datasets: plain arrays on the host's disk, which every trial maps into its memory.

The arrays carry checksums, and are tied to what they were made from and by, so that neither damage
nor changed data nor a changed reader goes unnoticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.catalog.datasets.arrays import checksum
from raybench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

FORMAT = 1
CHECKSUMS = "sha256.json"


@dataclass(frozen=True, kw_only=True)
class Cached:
    """Arrays by their names, found to be what their checksums say.

    Attributes:
        arrays: mapped copy-on-write: trials share their pages, and none can write to the files.
        checksums: SHA-256 of each.
    """

    arrays: Arrays
    checksums: dict[str, str]


def cached(name: str, state: Any, decode: Callable[[Path], Arrays], cache: Path) -> Cached:
    """Return a dataset's arrays from the cache, decoding them first where that is needed.

    Args:
        name: the dataset.
        state: what the arrays depend on, as JSON.
        decode: makes the arrays; it is given a scratch folder.
        cache: the folder of decoded datasets, and of whatever else.

    Raises:
        DataError: the cache cannot be written or read back; and what ``decode`` raises.
    """
    key = hashlib.sha256(json.dumps([FORMAT, name, state]).encode()).hexdigest()[:16]
    folder = cache / "datasets" / f"{name}-{key}"
    # Other trials may be writing or replacing the same folder; each attempt sees what they did.
    for _ in range(3):
        found = _read(folder)
        if found is not None:
            return found
        try:
            _write(folder, decode)
        except OSError as error:
            raise DataError(
                f"cannot write the decoded {name} to {folder.parent}: {error.strerror or error}",
                hint="make room there, or set RAYBENCH_CACHE to another folder",
            ) from None
    raise DataError(
        f"the decoded {name} in {folder} is damaged as soon as it is written",
        hint="set RAYBENCH_CACHE to a folder on another disk",
    )


def _read(folder: Path) -> Cached | None:
    """Return what a cache folder holds, or None where it is absent or damaged."""
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    try:
        checksums = dict(json.loads((folder / CHECKSUMS).read_bytes()))
        arrays = {
            part: np.load(folder / f"{part}.npy", mmap_mode="c", allow_pickle=False)
            for part in checksums
        }
    except (OSError, EOFError, ValueError, TypeError):
        return None
    intact = all(checksum(arrays[part]) == expected for part, expected in checksums.items())
    return Cached(arrays=arrays, checksums=checksums) if intact else None


def _write(folder: Path, decode: Callable[[Path], Arrays]) -> None:
    """Decode a dataset and move it into place, whole or not at all."""
    import numpy as np  # noqa: PLC0415 - specs are checked without numpy

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
    ) as scratch:
        arrays = decode(Path(scratch, "source"))
        fresh = Path(scratch, "decoded")
        fresh.mkdir()
        for part, array in arrays.items():
            np.save(fresh / f"{part}.npy", array, allow_pickle=False)
        checksums = {part: checksum(array) for part, array in arrays.items()}
        (fresh / CHECKSUMS).write_text(json.dumps(checksums))
        _move_into_place(fresh, folder, aside=Path(scratch, "damaged"))


def _move_into_place(fresh: Path, folder: Path, aside: Path) -> None:
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        if _read(folder) is not None:
            return  # another trial was quicker, with the same arrays
        # Yet another trial may be replacing what is damaged just now; the caller looks again.
        with contextlib.suppress(OSError):
            folder.rename(aside)
            fresh.rename(folder)
