"""Files that are there whole or not at all, and reading what may be no plain file.

A file is written under a temporary name that nobody can foresee and that says whose it is,
flushed to the disk and renamed, so that a reader, or a machine that dies, never sees half of one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from raybench.errors import ResultsError
from raybench.system.processes import is_running, machine

LOCK_S = 10.0
"""Seconds after which a folder's lock is waited for no longer: whoever holds it is stuck."""

_OURS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<pid>[0-9]+)@(?P<machine>.+)\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Temporary:
    """A file that a process is writing, or died of writing.

    Attributes:
        path: where it lies.
        name: what it would have become.
        is_here: whether the process is, or was, one of this machine.
        is_alive: whether that still runs; None on another machine, where one cannot know.
    """

    path: Path
    name: str
    is_here: bool
    is_alive: bool | None


def temporaries(folder: Path) -> list[Temporary]:
    """Return the temporary files in a folder; none if it cannot be read."""
    found = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if match := _TEMPORARY.fullmatch(path.name):
                is_here = match["machine"] == machine()
                is_alive = is_running(int(match["pid"])) if is_here else None
                found.append(Temporary(path, match["name"], is_here, is_alive))
    return found


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it.

    No symbolic link is followed, neither at the temporary name nor at the file's own.

    Raises:
        ResultsError: the folder cannot be written, or the disk is full.
    """
    with _named(path), _written(path, write) as temporary:
        temporary.replace(path)


def create(path: Path, content: bytes) -> bool:
    """Write a file unless it exists; return whether it was written.

    Raises:
        ResultsError: the folder cannot be written.
    """
    with _named(path), _written(path, lambda file: file.write(content)) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            if path.exists():
                return False
            temporary.replace(path)
    return True


def write_once(path: Path, content: bytes) -> bytes:
    """Write a file unless it exists, and return what it then holds: the first writer's content.

    Raises:
        ResultsError: the folder cannot be written.
    """
    return content if create(path, content) else path.read_bytes()


def check_writable(folder: Path) -> None:
    """Refuse a results folder that cannot be written, before anything is measured.

    Raises:
        ResultsError: with what to do.
    """
    probe = folder / f".raybench-{secrets.token_hex(8)}"
    write_atomically(probe, lambda file: file.write(b"probe\n"))
    probe.unlink()


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return a file's content; a pipe is not waited for, and what is too large is not read.

    Raises:
        OSError: it cannot be read, is no plain file, or is larger than ``most_bytes``.
    """
    # A pipe that no one writes to would hold up whoever opens it.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a plain file")
    with os.fdopen(number, "rb") as file:
        content = file.read(most_bytes + 1) if found.st_size <= most_bytes else b""
        if max(found.st_size, len(content)) > most_bytes:
            raise OSError(errno.EFBIG, f"more than {most_bytes >> 20} MB, far too large")
        return content


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, where its file system has locks and it can be written."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(folder / ".lock", flags, 0o666)
            stack.callback(os.close, lock)
            _wait_for(lock)
        yield


def _wait_for(lock: int) -> None:
    deadline = time.monotonic() + LOCK_S
    while not _lock(lock) and time.monotonic() < deadline:
        time.sleep(0.02)


def _lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _written(path: Path, write: Callable[[BinaryIO], object]) -> Iterator[Path]:
    """Write a temporary file beside ``path``; it is gone afterwards, by a new name or removed."""
    mark = f"{os.getpid()}@{machine()}.{secrets.token_hex(8)}"
    temporary = path.with_name(f".{path.name}.{mark}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(temporary, _OURS, 0o666), "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        _flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _flush(folder: Path) -> None:
    """Flush a folder's names to the disk: without it, a power cut may undo a rename."""
    with contextlib.suppress(OSError):
        names = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(names)
        finally:
            os.close(names)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an error of the file system into one that a user can act on."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise ResultsError(
            f"cannot write {path}: {error.strerror}",
            hint="make room on the disk"
            if full
            else "choose another folder with --results or RAYBENCH_RESULTS",
        ) from None
