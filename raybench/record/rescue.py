"""Records that could not be written to their place: where they are kept, and how they come back.

Below the user's own folder, or a new temporary one, each lies at the path of its experiment, so
that it can be analysed there and is found again.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raybench.errors import RecordError, ResultsError
from raybench.record.files import read_plain
from raybench.record.store import MAX_RECORD_BYTES, Experiment

if TYPE_CHECKING:
    from raybench.record.schema import TrialRecord

_FOLDER = "rescued"
PREFIX = "raybench-rescued-"
"""How the names of temporary folders begin."""


def rescue(record: TrialRecord, experiment: Experiment) -> Path:
    """Keep a record elsewhere, and return where.

    Raises:
        ResultsError: it can be written nowhere.
    """
    within = experiment.folder.absolute().relative_to("/")
    with contextlib.suppress(OSError, RuntimeError, ResultsError):
        return Experiment(_own_folder() / within).write(record)
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        raise ResultsError(f"cannot keep {record.trial_id}: {error.strerror}") from None
    return Experiment(folder / within).write(record)


def recover(experiment: Experiment | None = None, results: Path | None = None) -> list[Path]:
    """Put records back that were kept elsewhere, and return where they lie now.

    Args:
        experiment: only those of this one.
        results: put them into this folder, each under its experiment's name, instead of where
            they were to lie.

    Raises:
        ResultsError: the folder cannot be written.
    """
    from raybench.record.upgrades import read_record  # noqa: PLC0415 - there rarely is one

    found = []
    for path, folder in _kept():
        if experiment is not None and folder != experiment.folder.absolute():
            continue
        try:
            record = read_record(read_plain(path, MAX_RECORD_BYTES), str(path))
        except (OSError, RecordError):
            continue
        there = Experiment(results / folder.name if results else folder)
        found.append(there.write(record))
        forget(path)
    return found


def forget(path: Path) -> None:
    """Remove a record that was kept elsewhere, and the folders that are then empty."""
    with contextlib.suppress(OSError):
        path.unlink()
        path.parent.rmdir()
        (path.parent.parent / ".lock").unlink(missing_ok=True)
        for folder in path.parent.parents:
            folder.rmdir()
            if folder.name == _FOLDER or folder.name.startswith(PREFIX):
                break


def _own_folder() -> Path:
    """Return ``~/.raybench/rescued``, which only the user may enter."""
    folder = Path.home() / ".raybench" / _FOLDER
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, exist_ok=True)
    if not _is_own(folder):
        raise ResultsError(f"{folder} is not the user's own")
    folder.chmod(0o700)
    return folder


def _is_own(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _kept() -> Iterator[tuple[Path, Path]]:
    """Yield the files of all records that are kept, and the folders of their experiments."""
    roots = list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
    with contextlib.suppress(RuntimeError):
        roots.append(Path.home() / ".raybench" / _FOLDER)
    for root in roots:
        with contextlib.suppress(OSError):
            if _is_own(root):
                for path in sorted(root.rglob("*.json")):
                    if path.parent.name in ("records", "attempts"):
                        yield path, "/" / path.parent.parent.relative_to(root)
