"""Where a dataset's images come from: what the cache of its decoded arrays depends on."""

from __future__ import annotations

import importlib.metadata
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from raybench.catalog.datasets.arrays import Splits
from raybench.errors import DataError

OTHER_FOLDER = "RAYBENCH_DATA or --data names another folder"


@dataclass(frozen=True)
class Finding:
    """What became of looking at one file of a dataset, or at all that is decoded from them."""

    dataset: str
    path: Path
    state: Literal["ok", "absent", "damaged"]
    detail: str
    """how the state is known, or what is wrong"""


class Source(ABC):
    """Where a dataset's images come from.

    ``name`` is always the dataset's, and ``root`` the data folder.
    """

    in_data_folder: ClassVar[bool] = True
    """Whether it lies below the data folder."""

    nothing_to_do: ClassVar[str] = ""
    """Why it is neither fetched nor staged; empty where it can be."""

    def folder(self, root: Path) -> Path:
        """Return the folder that it lies in."""
        return root

    @abstractmethod
    def state(self, name: str, root: Path) -> Any:
        """Return what tells one state of the source from another, as JSON, without decoding it.

        Raises:
            DataError: it is not there; the message has what to do to get it.
        """

    def findings(self, name: str, root: Path) -> list[Finding]:
        """Look at each file, as far as that goes without decoding it."""
        try:
            self.state(name, root)
        except DataError as error:
            return [Finding(name, self.folder(root), "absent", error.message)]
        return []

    def presence(self, name: str, root: Path) -> str:
        """Say in a word whether it is there."""
        return "absent" if self.findings(name, root) else "present"

    def laid_out(self, name: str, root: Path, scratch: Path) -> Path:  # noqa: ARG002
        """Return the folder that the reader is given, which may be made in ``scratch``.

        Raises:
            DataError: a file is absent or damaged.
        """
        return self.folder(root)


@dataclass(frozen=True)
class Folder(Source):
    """A folder of the user's own, which the reader is given as it is.

    Its images are decoded again as soon as a file below it has another name, size or time of
    change. Files of the same size that were written within one tick of the file system's clock
    (nanoseconds to milliseconds, 1 s on some network file systems) cannot be told apart.

    Attributes:
        name: where it lies below the data folder, or an absolute path.
    """

    name: str
    nothing_to_do = "its folder is read where it lies"

    def folder(self, root: Path) -> Path:
        """Return the folder."""
        return root / self.name

    def state(self, name: str, root: Path) -> Any:
        """Return the folder, and the path, size and times of each file below it."""
        folder = self.folder(root)
        try:
            stats = [(path, path.stat()) for path in files_below(folder, _refuse_unreadable)]
        except OSError as error:
            raise DataError(
                f"cannot look at {error.filename or folder}: {error.strerror}",
                hint=f"ask its owner for read access; {OTHER_FOLDER}",
            ) from None
        if not stats:
            raise DataError(
                f"{name} is not there: {folder} holds no files",
                hint=f"put its files into that folder; {OTHER_FOLDER}",
            )
        # The time of the inode's change tells a file that was replaced by one of the same age.
        return [
            [str(path), str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            for path, stat in stats
        ]


@dataclass(frozen=True)
class Package(Source):
    """Images that come with an installed distribution, whose version tells their states apart.

    The reader is given the folder that the distribution is installed in.
    """

    name: str
    in_data_folder = False
    nothing_to_do = "it comes with an installed package"

    def folder(self, root: Path) -> Path:  # noqa: ARG002
        """Return the folder that the distribution is installed in."""
        return Path(str(self._distribution().locate_file("")))

    def state(self, name: str, root: Path) -> Any:  # noqa: ARG002
        """Return the distribution's version."""
        return self._distribution().version

    def _distribution(self) -> importlib.metadata.Distribution:
        try:
            return importlib.metadata.distribution(self.name)
        except importlib.metadata.PackageNotFoundError:
            raise DataError(
                f"{self.name} is not installed", hint=f"pip install {self.name}, on every node"
            ) from None


@dataclass(frozen=True)
class Generated(Source):
    """Images that are computed whenever they are needed, and as many as are needed.

    Attributes:
        make: returns the first n images to train on and the first m to evaluate on.
    """

    make: Callable[[int, int], Splits]
    in_data_folder = False
    nothing_to_do = "its images are made as they are needed"

    def state(self, name: str, root: Path) -> Any:  # noqa: ARG002
        """Return that there is but one."""
        return "always the same"


def files_below(folder: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Go through all files in a folder and below it, by their names; links are followed, once.

    Args:
        folder: where to look; it may be absent.
        on_error: what to do about a folder that cannot be read; without it, it is passed over.
    """
    seen: set[str] = set()
    for there, folders, names in os.walk(folder, followlinks=True, onerror=on_error):
        real = os.path.realpath(there)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(names):
            yield Path(there, name)


def _refuse_unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
