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
import secrets
import tempfile
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from raybench.errors import RecordError, ResultsError, SpecError
from raybench.spec.identity import with_baselines
from raybench.spec.trial import AS_MEASURED, TrialSpec, trial_spec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from raybench.record.schema import TrialRecord


def utc_now() -> str:
    """Return the present time, UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Experiment:
    """The folder of one experiment, where everything of it lies."""

    folder: Path

    @property
    def name(self) -> str:
        """The experiment's name is that of its folder."""
        return self.folder.name or self.folder.resolve().name

    def record_path(self, trial_id: str) -> Path:
        """Where a trial's record lies, or will lie."""
        return self.folder / "records" / f"{trial_id}.json"

    def steps_path(self, trial_id: str) -> Path:
        """Where the times of a trial's steps lie, or will lie."""
        return self.folder / "steps" / f"{trial_id}.npz"

    def write(self, record: TrialRecord, steps_ms: Sequence[npt.NDArray[np.float64]] = ()) -> Path:
        """Write a record, whole or not at all, after the times of its training steps.

        Args:
            record: what is known of the trial.
            steps_ms: milliseconds of each step, an array of the same length for each epoch.

        Raises:
            ResultsError: the folder cannot be written; the record was kept elsewhere if possible.
        """
        try:
            if steps_ms:
                self._write_steps(record.trial_id, steps_ms)
        finally:
            path = self._write_record(record)
        return path

    def _write_record(self, record: TrialRecord) -> Path:
        path = self.record_path(record.trial_id)
        text = record.model_dump_json(indent=1).encode() + b"\n"
        try:
            write_atomically(path, lambda file: file.write(text))
        except ResultsError as error:
            rescued = Path(tempfile.gettempdir()) / f"raybench-{os.getuid()}-{path.name}"
            write_atomically(rescued, lambda file: file.write(text))
            raise ResultsError(
                f"{error.message}\nthe record was kept as {rescued}",
                hint=f"make room, then move it to {path.parent}",
            ) from None
        return path

    def _write_steps(self, trial_id: str, steps_ms: Sequence[npt.NDArray[np.float64]]) -> None:
        """Write the times of a trial's training steps: ``train_step_ms`` [epochs, steps]."""
        import numpy as np  # noqa: PLC0415 - reading results needs no numpy

        times = np.stack(steps_ms)
        path = self.steps_path(trial_id)
        write_atomically(path, lambda file: np.savez_compressed(file, train_step_ms=times))

    def write_plan(self, grid_yaml: str, trials: Sequence[TrialSpec]) -> None:
        """Write the grid as it was asked for, and the manifest: the trials that it will fill.

        Raises:
            ResultsError: the folder cannot be written.
        """
        specs = {trial.trial_id: trial.model_dump(mode="json") for trial in trials}
        manifest = {"experiment": self.name, "trials": specs}
        text = json.dumps(manifest, indent=1).encode() + b"\n"
        write_atomically(self.folder / "grid.yaml", lambda file: file.write(grid_yaml.encode()))
        write_atomically(self.folder / "manifest.json", lambda file: file.write(text))

    def planned(self, *, without: Container[str] = ()) -> dict[str, TrialSpec]:
        """Return the trials of the manifest by their ids, or {} where there is none.

        Args:
            without: ids to leave out, such as those whose records are at hand.

        Raises:
            RecordError: the manifest is damaged.
        """
        path = self.folder / "manifest.json"
        try:
            trials = json.loads(path.read_bytes())["trials"]
            return {n: _planned(n, fields) for n, fields in trials.items() if n not in without}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SpecError):
            raise RecordError(f"{path}: not a manifest, perhaps cut short") from None

    def read(self, trial_id: str) -> TrialRecord | None:
        """Return a trial's record, or None if there is none.

        Raises:
            RecordError: the record is damaged or of a newer version.
        """
        path = self.record_path(trial_id)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror}") from None
        from raybench.record.upgrades import read_record  # noqa: PLC0415 - most plans need none

        return read_record(content, str(path))

    def completed(self, trial: TrialSpec) -> TrialRecord | None:
        """Return the complete record of exactly this trial; a damaged one does not count."""
        try:
            record = self.read(trial.trial_id)
        except RecordError:
            return None
        return record if record is not None and record.status == "completed" else None

    def is_complete(self, trial: TrialSpec) -> bool:
        """Whether a complete record of exactly this trial exists."""
        return self.completed(trial) is not None


def _planned(trial_id: str, fields: dict[str, Any]) -> TrialSpec:
    fields = with_baselines(fields, TrialSpec.model_fields)
    try:
        return trial_spec(fields)
    except SpecError:  # what it names may be installed only where it is to be measured
        spec = TrialSpec.model_validate(fields, context=AS_MEASURED)
        if spec.trial_id != trial_id:
            raise
        return spec


def write_once(path: Path, content: bytes) -> bytes:
    """Write a file unless it exists, and return what it then holds: the first writer's content.

    Raises:
        ResultsError: the folder cannot be written.
    """
    own = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_atomically(own, lambda file: file.write(content))
    try:
        os.link(own, path)
    except FileExistsError:
        return path.read_bytes()
    except OSError:  # a file system without links
        write_atomically(path, lambda file: file.write(content))
    finally:
        own.unlink()
    return content


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
            hint="make room on the disk"
            if full
            else "choose another folder with --results or RAYBENCH_RESULTS",
        ) from None
