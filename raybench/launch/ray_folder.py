"""A private folder around Ray's own, which Ray opens to every user of the machine.

<folder>    0700: nobody else gets further
├── r       Ray's: its sockets and logs, which it gives the mode 0777 while it runs
└── t       0700: TMPDIR of Ray and its workers, with the sockets of their fork servers
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from raybench.errors import ClusterError
from raybench.record.rescue import PREFIX

LONGEST_RAY_DIR = 38
"""Ray puts ``/session_<date>_<pid>/sockets/plasma_store`` after it; Linux allows 107 bytes."""

_LOCAL = "raybench-ray-"


@dataclass(frozen=True)
class RayFolder:
    """Where Ray keeps its files on a node.

    Attributes:
        path: the folder, with a short path.
    """

    path: Path

    @property
    def ray(self) -> Path:
        """What Ray is given."""
        return self.path / "r"

    @property
    def temporary(self) -> Path:
        """TMPDIR of Ray and its workers."""
        return self.path / "t"

    def check(self) -> None:
        """Refuse a folder under which the paths of Ray's sockets would be too long.

        Raises:
            ClusterError: its path is too long.
        """
        if len(os.fsencode(self.ray)) > LONGEST_RAY_DIR:
            raise ClusterError(
                f"the temporary folder {self.path} is too long a path for Ray's sockets",
                allowed=f"{LONGEST_RAY_DIR - len('/r')} bytes",
                hint="set RAYBENCH_TMPDIR=/tmp in site.env",
            )

    def create(self) -> None:
        """Create it; it must not exist."""
        self.path.mkdir(mode=0o700)
        self.fill()

    def fill(self) -> None:
        """Create what lies in it."""
        for folder in (self.ray, self.temporary):
            folder.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove it, but for records that were kept there: they go beside it."""
        for folder in self.temporary.glob(f"{PREFIX}*"):
            shutil.move(folder, self.path.parent)
        # Ray's processes may still write while they end.
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def local_folder() -> Iterator[RayFolder]:
    """Give a Ray of this machine's own its folder, and remove those of drivers that were killed."""
    for left in _left_behind():
        left.remove()
    folder = RayFolder(Path(tempfile.mkdtemp(prefix=_LOCAL)))
    with _locked(folder.path):
        folder.fill()
        try:
            yield folder
        finally:
            folder.remove()


def _left_behind() -> Iterator[RayFolder]:
    """Yield this user's folders whose drivers have died."""
    for path in Path(tempfile.gettempdir()).glob(f"{_LOCAL}*"):
        folder = RayFolder(path)
        # One without is just being made. Others may call a link or a folder of theirs so.
        with suppress(OSError):
            if path.lstat().st_uid == os.getuid() and folder.temporary.is_dir():
                with _locked(path):
                    yield folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock on a folder, which ends with this process, however that ends.

    Raises:
        OSError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
