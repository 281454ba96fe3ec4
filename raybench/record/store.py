"""A results folder: what was measured, one JSON file a trial.

    <results>/<experiment>/{grid.yaml, manifest.json, records/<trial_id>.json, steps/<trial_id>.npz,
                            attempts/<trial_id>.<n>.json}

Every file is written whole or not at all. A record is only replaced by a better one; the lesser
ones are kept as attempts. Nothing in a results folder is ever unpickled.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.errors import NewerRecordError, RecordError, ResultsError, SpecError
from raybench.record.files import create, locked, read_plain, temporaries, write_atomically
from raybench.spec.identity import with_baselines
from raybench.spec.trial import AS_MEASURED, TrialSpec, trial_spec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from raybench.record.schema import TrialRecord

MAX_RECORD_BYTES = 16 * 2**20
"""A record is some kilobytes, at most a megabyte for thousands of epochs."""

MAX_MANIFEST_BYTES = 512 * 2**20
"""A manifest is about a kilobyte a trial."""

RANK = {"failed": 0, "interrupted": 1, "completed": 2}
"""Which status is better than which."""


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

    def write(self, record: TrialRecord) -> Path:
        """Write a record, unless a better one of the trial is there.

        ``completed`` is better than ``interrupted``, and that than ``failed``; of two that did
        not complete the later one stays, of two that did the first. The other one is kept as an
        attempt, unless it is of the same start and so has nothing of its own to tell.

        Returns:
            Where it lies: in its place, or among the attempts.

        Raises:
            ResultsError: the folder cannot be written, or holds a record of a newer version.
        """
        from raybench.record.checksum import with_checksum  # noqa: PLC0415 - a plan needs none

        path, text = self.record_path(record.trial_id), with_checksum(record)
        with locked(self.folder):
            try:
                there = self.read(record.trial_id)
            except NewerRecordError as error:
                raise ResultsError(
                    f"{error.message}, and does not overwrite it", hint=error.hint
                ) from None
            except RecordError:
                there = None
                self._keep_attempt(record.trial_id)
            if there == record:
                return path
            if there is not None:
                again = there.started_at == record.started_at
                rank = RANK[record.status] - RANK[there.status]
                wins = rank > 0 or (rank == 0 and (again or record.status != "completed"))
                if not wins:
                    return path if again else self._new_attempt(record.trial_id, text)
                if not again:
                    self._keep_attempt(record.trial_id)
            write_atomically(path, lambda file: file.write(text))
        return path

    def _keep_attempt(self, trial_id: str) -> None:
        with contextlib.suppress(OSError):  # what is no file has nothing to keep
            content = read_plain(self.record_path(trial_id), MAX_RECORD_BYTES)
            self._new_attempt(trial_id, content)

    def _new_attempt(self, trial_id: str, text: bytes) -> Path:
        for number in itertools.count(1):
            path = self.folder / "attempts" / f"{trial_id}.{number}.json"
            if create(path, text):
                break
        return path

    def attempts(self) -> Counter[str]:
        """Count the records of each trial that a better one stands for."""
        with contextlib.suppress(OSError):
            names = (path.name for path in (self.folder / "attempts").glob("*.json"))
            return Counter(name.rsplit(".", 2)[0] for name in names if not name.startswith("."))
        return Counter()

    def write_steps(self, trial_id: str, steps_ms: Sequence[npt.NDArray[np.float64]]) -> None:
        """Write the times of a trial's training steps: ``train_step_ms`` [epochs, steps].

        Raises:
            ResultsError: the folder cannot be written.
        """
        import numpy as np  # noqa: PLC0415 - reading results needs no numpy

        times = np.stack(steps_ms)
        path = self.steps_path(trial_id)
        write_atomically(path, lambda file: np.savez_compressed(file, train_step_ms=times))

    def salvage(self, trial_id: str | None = None) -> None:
        """Put records in place that lie whole in temporary files of the dead; remove these files.

        Args:
            trial_id: look only at this trial's, of processes of this machine; without it, nobody
                else may be at work on the experiment.

        Raises:
            ResultsError: the folder cannot be written.
        """
        from raybench.record.upgrades import read_record  # noqa: PLC0415 - there rarely is one

        folders = [self.folder, *(self.folder / name for name in ("records", "steps", "attempts"))]
        for left in itertools.chain.from_iterable(map(temporaries, folders)):
            if left.is_alive or (
                trial_id and not (left.is_here and Path(left.name).stem == trial_id)
            ):
                continue
            if left.path.parent.name == "records":
                with contextlib.suppress(OSError, RecordError):
                    content = read_plain(left.path, MAX_RECORD_BYTES)
                    self.write(read_record(content, str(left.path)))
            with contextlib.suppress(OSError):
                left.path.unlink()

    def write_plan(self, grid_yaml: str, trials: Sequence[TrialSpec]) -> None:
        """Write the grid as it was asked for, and add its trials to the manifest.

        Raises:
            ResultsError: the folder cannot be written, or one of the ids stands for another trial.
        """
        path = self.folder / "manifest.json"
        with locked(self.folder):
            before: dict[str, TrialSpec] = {}
            with contextlib.suppress(RecordError):  # a damaged one is written anew
                before = self.planned()
            specs = {**before, **{trial.trial_id: trial for trial in trials}}
            for name, spec in before.items():
                if specs[name] != spec:
                    raise ResultsError(
                        f"{path}: {name} was planned as another trial",
                        hint="give the grid another name",
                    )
            content = {name: spec.model_dump(mode="json") for name, spec in specs.items()}
            manifest = {"experiment": self.name, "trials": content}
            text = json.dumps(manifest, indent=1).encode() + b"\n"
            write_atomically(self.folder / "grid.yaml", lambda file: file.write(grid_yaml.encode()))
            write_atomically(path, lambda file: file.write(text))

    def planned(self, *, without: Container[str] = ()) -> dict[str, TrialSpec]:
        """Return the trials of the manifest by their ids, or {} where there is none.

        Args:
            without: ids to leave out, such as those whose records are at hand.

        Raises:
            RecordError: the manifest is damaged.
        """
        path = self.folder / "manifest.json"
        try:
            trials = json.loads(read_plain(path, MAX_MANIFEST_BYTES))["trials"]
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
            RecordError: the record is damaged, of another trial, or of a newer version.
        """
        path = self.record_path(trial_id)
        try:
            content = read_plain(path, MAX_RECORD_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror}") from None
        from raybench.record.upgrades import read_record  # noqa: PLC0415 - most plans need none

        record = read_record(content, str(path))
        if record.trial_id != trial_id:
            raise RecordError(f"{path}: the record of another trial, {record.trial_id}")
        return record

    def completed(self, trial: TrialSpec) -> TrialRecord | None:
        """Return the complete record of exactly this trial; a damaged one does not count.

        Raises:
            NewerRecordError: it is of a newer version, and must not be measured over.
        """
        try:
            record = self.read(trial.trial_id)
        except NewerRecordError:
            raise
        except RecordError:
            return None
        is_ours = record is not None and record.status == "completed" and record.spec == trial
        return record if is_ours else None

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
