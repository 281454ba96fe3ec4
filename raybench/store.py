"""A results folder: what was measured, one JSON file a trial.

    <results>/<experiment>/{grid.yaml, manifest.json, records/<trial_id>.json, steps/<trial_id>.npz}

Every file is written under a temporary name, flushed to the disk and renamed, so that a reader,
or a machine that dies, never sees half of one. Nothing in a results folder is ever unpickled.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raybench.errors import RecordError, ResultsError
from raybench.record import TrialRecord, read_record
from raybench.spec import TrialSpec

DEFAULT_RESULTS = Path("results")


def results_root(given: Path | None = None) -> Path:
    """Return the folder that experiments lie in: given, ``RAYBENCH_RESULTS``, or ``./results``."""
    return given or Path(os.environ.get("RAYBENCH_RESULTS") or DEFAULT_RESULTS)


@dataclass(frozen=True)
class Experiment:
    """The folder of one experiment."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """Where everything of the experiment lies."""
        return self.root / self.name

    def record_path(self, trial_id: str) -> Path:
        """Where a trial's record lies, or will lie."""
        return self.folder / "records" / f"{trial_id}.json"

    def steps_path(self, trial_id: str) -> Path:
        """Where the times of a trial's steps lie, or will lie."""
        return self.folder / "steps" / f"{trial_id}.npz"

    def write_record(self, record: TrialRecord) -> Path:
        """Write a record, whole or not at all.

        Raises:
            ResultsError: it could be written neither there nor to a temporary folder.
        """
        path = self.record_path(record.trial_id)
        text = record.model_dump_json(indent=1).encode() + b"\n"
        try:
            write_atomically(path, lambda file: file.write(text))
        except ResultsError as error:
            rescued = Path(tempfile.gettempdir()) / f"raybench-{os.getuid()}-{path.name}"
            write_atomically(rescued, lambda file: file.write(text))
            raise ResultsError(
                f"{error.what}\nthe record was kept as {rescued}",
                cure=f"make room, then move it to {path.parent}",
            ) from None
        return path

    def write_plan(self, grid_yaml: str, trials: Sequence[TrialSpec]) -> None:
        """Write the grid as it was asked for, and the manifest: the ids that it will fill.

        Raises:
            ResultsError: the folder cannot be written.
        """
        manifest = {"experiment": self.name, "trials": [trial.trial_id for trial in trials]}
        text = json.dumps(manifest, indent=1).encode() + b"\n"
        write_atomically(self.folder / "grid.yaml", lambda file: file.write(grid_yaml.encode()))
        write_atomically(self.folder / "manifest.json", lambda file: file.write(text))

    def planned(self) -> list[str]:
        """Return the ids of the manifest, or [] where there is none.

        Raises:
            RecordError: the manifest is damaged.
        """
        path = self.folder / "manifest.json"
        if not path.exists():
            return []
        try:
            trials = json.loads(path.read_bytes())["trials"]
            return [str(trial) for trial in trials]
        except (ValueError, KeyError, TypeError):
            raise RecordError(f"{path}: not a manifest, perhaps cut short") from None

    def read(self, trial_id: str) -> TrialRecord | None:
        """Return a trial's record, or None if there is none.

        Raises:
            RecordError: the record is damaged or of a newer version.
        """
        path = self.record_path(trial_id)
        try:
            return read_record(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def is_complete(self, trial: TrialSpec) -> bool:
        """Whether a complete record of exactly this trial exists; a damaged one does not count."""
        try:
            record = self.read(trial.trial_id)
        except RecordError:
            return False
        return record is not None and record.status == "completed"


def check_writable(folder: Path) -> None:
    """Refuse a results folder that cannot be written, before anything is measured.

    Raises:
        ResultsError: with what to do.
    """
    probe = folder / f".raybench-{os.getpid()}"
    write_atomically(probe, lambda file: file.write(b"probe\n"))
    probe.unlink()


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it.

    Raises:
        ResultsError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ResultsError(
            f"cannot write {path}: {error.strerror}",
            cure="make room on the disk"
            if full
            else "choose another folder with --results or RAYBENCH_RESULTS",
        ) from None


@dataclass(frozen=True)
class Unreadable:
    """A file among the records that could not be used."""

    path: Path
    reason: str


def scan(folders: Sequence[Path]) -> Iterator[TrialRecord | Unreadable]:
    """Read the records of experiments, of folders that hold experiments, or single files.

    A file that cannot be used is named and passed over, so that the rest can be analysed.

    Raises:
        ResultsError: a folder does not exist.
    """
    for path in record_files(folders):
        try:
            yield read_record(path.read_bytes(), str(path))
        except RecordError as error:
            yield Unreadable(path, error.what)
        except OSError as error:
            yield Unreadable(path, f"{path}: {error.strerror}")


def record_files(folders: Sequence[Path]) -> list[Path]:
    """Return the files that should be records, each once, in order of their names.

    Raises:
        ResultsError: a folder does not exist.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.exists():
            raise ResultsError(
                f"no results at {folder}", cure="check the path, or run `raybench grid` first"
            )
        if folder.is_file():
            found[folder] = None
            continue
        inside = folder if folder.name == "records" else folder / "records"
        holders = [inside] if inside.is_dir() else sorted(folder.glob("*/records"))
        for holder in holders:
            found.update(dict.fromkeys(sorted(holder.glob("*.json"))))
    return list(found)
