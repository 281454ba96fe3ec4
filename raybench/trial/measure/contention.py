"""Which other trials run on the node while one is timed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from raybench.record.noted import Missing

SHARED_MEMORY = Path("/dev/shm")


class CoLocation:
    """The trials that are being timed on this node, whoever runs them.

    Each trial holds a lock on a file of its own, in its user's folder; the kernel lets go of it
    when the process dies, whatever it dies of. Others only ask whether a lock is held.

    Args:
        base: a folder of this node alone that every user can write to.

    Entered around the timed epochs; sampled between them. A trial that came and went between two
    samples leaves its mark on the folder's time of change, and counts as one.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = base or node_folder()
        self._folder = self._base / f"raybench-{os.getuid()}"
        self._file: int | None = None
        self._path: Path | None = None
        self._unavailable: Missing | None = None
        self._changes: dict[Path, int] = {}
        self._maximum = 0

    def __enter__(self) -> CoLocation:
        try:
            _own_folder(self._folder)
            self._register()
        except OSError as error:
            why = f"cannot note trials in {self._folder}: {error.strerror}"
            self._unavailable = Missing(why)
        else:
            self._changes = self._folder_changes()
            self.sample()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is None or self._path is None:
            return
        self.sample()
        with contextlib.suppress(OSError):  # cleared away by somebody: nothing is left to do
            # A worker that was forked meanwhile may hold the lock on, but of no file to be found.
            self._path.unlink()
        os.close(self._file)
        self._file = None

    def sample(self) -> None:
        """Count who else is timing a trial now; for between epochs, never inside the clock."""
        if self._file is None:
            return
        changes = self._folder_changes()
        others = sum(_is_held(path) for path in self._trials() if path != self._path)
        if changes != self._changes:
            others = max(others, 1)
        self._changes = changes
        self._maximum = max(self._maximum, others)

    @property
    def maximum(self) -> int | Missing:
        """The most other trials seen at once so far, or why they could not be."""
        return self._maximum if self._unavailable is None else self._unavailable

    def _register(self) -> None:
        """Lock a file, then give it the name that others look for."""
        for path in self._folder.glob("*.trial"):
            if not _is_held(path):
                path.unlink(missing_ok=True)
        self._file, hidden = tempfile.mkstemp(prefix=".", dir=self._folder)
        os.fchmod(self._file, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._path = Path(hidden).rename(
            self._folder / f"{socket.gethostname()}-{os.getpid()}-{id(self)}.trial"
        )

    def _folders(self) -> Iterator[Path]:
        return self._base.glob("raybench-*")

    def _trials(self) -> Iterator[Path]:
        for folder in self._folders():
            yield from folder.glob("*.trial")

    def _folder_changes(self) -> dict[Path, int]:
        changes = {}
        for folder in self._folders():
            with contextlib.suppress(OSError):  # gone since the glob
                changes[folder] = folder.stat().st_mtime_ns
        return changes


def node_folder() -> Path:
    """Return a folder of this node alone: shared memory, or the folder for temporary files."""
    writable = SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK | os.X_OK)
    return SHARED_MEMORY if writable else Path(tempfile.gettempdir())


def _own_folder(folder: Path) -> None:
    """Make this user's folder, which others may read; a name that somebody else took is refused."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(1, "another user has taken that name", str(folder))
    folder.chmod(0o755)


def _is_held(path: Path) -> bool:
    """Whether a living process holds the file's lock."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)
