"""Reading folders of records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raybench.errors import RecordError, ResultsError
from raybench.record.files import read_plain
from raybench.record.store import MAX_RECORD_BYTES, Experiment

if TYPE_CHECKING:
    from raybench.record.schema import TrialRecord


@dataclass(frozen=True)
class Unreadable:
    """A file among the records that could not be used."""

    path: Path
    reason: str


def scan(folders: Sequence[Path]) -> Iterator[tuple[Path, TrialRecord] | Unreadable]:
    """Read the records of experiments, of folders that hold experiments, or single files.

    A file that cannot be used is named and passed over, so that the rest can be analysed.

    Raises:
        ResultsError: a folder does not exist.
    """
    for path in record_files(folders):
        yield _read(path)


def _read(path: Path) -> tuple[Path, TrialRecord] | Unreadable:
    from raybench.record.upgrades import read_record  # noqa: PLC0415 - most plans need none

    try:
        return path, read_record(read_plain(path, MAX_RECORD_BYTES), str(path))
    except RecordError as error:
        return Unreadable(path, error.message)
    except OSError as error:
        return Unreadable(path, f"{path}: {error.strerror}")


def record_files(folders: Sequence[Path]) -> list[Path]:
    """Return the files that should be records, each once, in order of their names.

    Raises:
        ResultsError: a folder does not exist, or cannot be read.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if folder.is_file():
            found[folder] = None
            continue
        for experiment in experiments([folder]):
            holder = experiment.folder / "records"
            with _readable(holder):
                if holder.is_dir():
                    names = (path.name for path in holder.iterdir() if path.suffix == ".json")
                    found.update(dict.fromkeys(holder / name for name in sorted(names)))
    return list(found)


def experiments(folders: Sequence[Path]) -> list[Experiment]:
    """Return the experiments that folders are or hold; single files belong to none.

    Raises:
        ResultsError: a folder does not exist.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.exists():
            raise ResultsError(
                f"no results at {folder}", hint="check the path, or run `raybench grid` first"
            )
        itself = folder.parent if folder.name == "records" else folder
        with _readable(folder):
            if _is_experiment(itself):
                found[itself] = None
            elif folder.is_dir():
                found.update(dict.fromkeys(filter(_is_experiment, sorted(folder.iterdir()))))
    return [Experiment(folder) for folder in found]


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"cannot read {error.filename or folder}: {error.strerror}",
            hint="check its permissions",
        ) from None


def _is_experiment(folder: Path) -> bool:
    return (folder / "records").is_dir() or (folder / "manifest.json").is_file()
