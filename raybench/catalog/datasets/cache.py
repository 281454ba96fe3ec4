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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.catalog.datasets.arrays import checksum
from raybench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

FORMAT = 1
CHECKSUMS = "sha256.json"


def cached(
    name: str, state: Any, decode: Callable[[Path], Arrays], cache: Path
) -> tuple[Arrays, dict[str, str]]:
    """Return a dataset's arrays and their SHA-256, decoding them first where that is needed.

    They are mapped copy-on-write: trials share their pages, and none can write to the files.

    Args:
        name: the dataset.
        state: what the arrays depend on, as JSON.
        decode: makes the arrays by their names; it is given a scratch folder.
        cache: the folder of decoded datasets, and of whatever else.

    Raises:
        DataError: the cache cannot be written or read back; and what ``decode`` raises.
    """
    key = hashlib.sha256(json.dumps([FORMAT, name, state]).encode()).hexdigest()[:16]
    folder = cache / "datasets" / f"{name}-{key}"
    # Other trials may be writing or replacing the same folder; each attempt sees what they did.
    for _ in range(3):
        if found := _read(folder):
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


def _read(folder: Path) -> tuple[Arrays, dict[str, str]] | None:
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
    return (arrays, checksums) if intact else None


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
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            # Another trial was quicker, with the same arrays; or what is there is damaged, and yet
            # another trial may be replacing it just now: the caller looks again.
            if _read(folder) is None:
                with contextlib.suppress(OSError):
                    folder.rename(Path(scratch, "damaged"))
                    fresh.rename(folder)
