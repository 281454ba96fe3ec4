"""What else runs on the host while a trial is timed."""

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

from raybench.record import Contention

SHARED_MEMORY = Path("/dev/shm")


class HostRegistry:
    """The trials that are being timed on this host, whoever runs them.

    Each trial holds a lock on a file of its own, in its user's folder; the kernel lets go of it
    when the process dies, whatever it dies of. Others only ask whether a lock is held.

    Args:
        base: a folder of this host alone that every user can write to.

    Entered around the timed epochs. ``seen`` is asked between epochs; a trial that came and went
    meanwhile leaves its mark on the folder's time of change, and counts as one.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = base or host_folder()
        self._folder = self._base / f"raybench-{os.getuid()}"
        self._file: int | None = None
        self._path: Path | None = None
        self._unavailable: str | None = None
        self._changes: dict[Path, int] = {}
        self._most = 0

    def __enter__(self) -> HostRegistry:
        try:
            _own_folder(self._folder)
            self._register()
        except OSError as error:
            self._unavailable = f"cannot note trials in {self._folder}: {error.strerror}"
        else:
            self._changes = self._folder_changes()
            self.seen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is None or self._path is None:
            return
        self.seen()
        with contextlib.suppress(OSError):  # cleared away by somebody: nothing is left to do
            self._path.unlink()
        # A worker that was forked meanwhile shares the lock: closing alone would not free it.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
        self._file = None

    def seen(self) -> int:
        """Look now, and return the most other trials seen beside this one so far."""
        if self._file is None:
            return self._most
        changes = self._folder_changes()
        beside = sum(_is_held(path) for path in self._trials() if path != self._path)
        if changes != self._changes:
            beside = max(beside, 1)
        self._changes = changes
        self._most = max(self._most, beside)
        return self._most

    def contention(self) -> tuple[Contention, dict[str, str]]:
        """Return what was seen and the host's load now, and why a figure is null."""
        facts = Contention(
            co_located_trials=None if self._unavailable else self._most,
            load_average=os.getloadavg()[0],
        )
        if self._unavailable:
            return facts, {"contention.co_located_trials": self._unavailable}
        return facts, {}

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


def host_folder() -> Path:
    """Return a folder of this host alone: shared memory, or the folder for temporary files."""
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
