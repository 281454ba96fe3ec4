"""Datasets that are published as files: where they lie, what they should hold, how to get them.

They lie as torchvision lays them out below the data folder. The MD5s are those that torchvision
downloads by. None is published for unpacked files of the MNIST family: their structure is checked
here, and what is decoded from them by ``Dataset.checksums``.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybench.catalog.datasets.idx import idx_problem
from raybench.catalog.datasets.sources import OTHER_FOLDER, Finding, Source
from raybench.errors import DataError


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file of a dataset, as it is once unpacked.

    Attributes:
        path: where it lies below the data folder.
        md5: its published checksum, if there is one.
        gz_md5: the published checksum of the same file with ``.gz``, which is read as it is.
        shape: what its idx header says: images × height × width, or labels.
    """

    path: str
    md5: str | None = None
    gz_md5: str | None = None
    shape: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Without folders."""
        return Path(self.path).name

    def md5_of(self, path: Path) -> str | None:
        """Return the published checksum of the file as it lies there, if there is one."""
        return (self.gz_md5 or self.md5) if path.suffix == ".gz" else self.md5

    def problem(self, path: Path) -> str | None:
        """Return what is wrong with the file as it lies there, or None."""
        try:
            if md5 := self.md5_of(path):
                return _checksum_problem(path, md5)
            return idx_problem(path, self.shape) if self.shape else None
        except OSError as error:
            return f"it cannot be read: {error.strerror or error}"


@dataclass(frozen=True, kw_only=True)
class Published(Source):
    """Files that torchvision downloads; the reader is given a folder of them, checked and unpacked.

    Attributes:
        torchvision_class: the class in ``torchvision.datasets`` that downloads them.
        files: all of them.
        archive: all of them in one published file, which is read where they do not all lie there.
    """

    torchvision_class: str
    files: tuple[PublishedFile, ...]
    archive: PublishedFile | None = None

    @property
    def pairs(self) -> list[tuple[PublishedFile, PublishedFile]]:
        """The images and the labels of each split, where they lie in idx files of their own."""
        idx = [file for file in self.files if file.shape]
        return list(zip(idx[::2], idx[1::2], strict=True))

    def folder(self, root: Path) -> Path:
        """Return the folder that the files lie in."""
        return (root / self.files[0].path).parent

    def state(self, name: str, root: Path) -> Any:
        """Return the path, size and time of change of each file that will be read."""
        chosen, absent = self._choose(root), self.absent(root)
        if absent:
            raise DataError(
                f"{name} is not in {root}: "
                f"{len(absent)} of {len(chosen)} files are absent, such as {absent[0]}",
                hint=f"`raybench data fetch {name}` where there is internet (a login node), or "
                f"`raybench data stage {name} --from FOLDER` for files that you have; "
                f"{OTHER_FOLDER}",
            )
        stats = [(path.resolve(), path.stat()) for _, path in chosen]
        return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]

    def absent(self, root: Path) -> list[Path]:
        """Return where those files should lie that do not."""
        return [path for _, path in self._choose(root) if not _is_file(path)]

    def presence(self, name: str, root: Path) -> str:  # noqa: ARG002
        """Say in a word whether it is there, or how much of it is not."""
        absent, needed = len(self.absent(root)), len(self._choose(root))
        if 0 < absent < needed:
            return f"{absent} of {needed} files absent"
        return "absent" if absent else "present"

    def findings(self, name: str, root: Path) -> list[Finding]:
        """Check each file against its published checksum, or its structure where it has none."""
        return [self._finding(name, file, path) for file, path in self._choose(root)]

    def _finding(self, name: str, file: PublishedFile, path: Path) -> Finding:
        if not _is_file(path):
            return Finding(name, path, "absent", "not there")
        if problem := file.problem(path):
            return Finding(name, path, "damaged", problem)
        detail = "checksum matches" if file.md5_of(path) else "header and size are right"
        return Finding(name, path, "ok", detail)

    def laid_out(self, name: str, root: Path, scratch: Path) -> Path:
        """Return ``scratch`` with the files, checked and unpacked, by their own names."""
        self.state(name, root)
        scratch.mkdir(parents=True, exist_ok=True)
        for file, path in self._choose(root):
            if problem := file.problem(path):
                raise DataError(
                    f"{path} is damaged or unreadable: {problem}",
                    hint=f"remove it, then `raybench data fetch {name}` where there is internet",
                )
            if file is self.archive:
                _extract(path, self.files, scratch)
            elif path.suffix == ".gz":
                with gzip.open(path) as packed, (scratch / file.name).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
            else:
                (scratch / file.name).symlink_to(path.resolve())
        return scratch

    def _choose(self, root: Path) -> list[tuple[PublishedFile, Path]]:
        """Return what to read: a packed file before an unpacked, as its checksum is published."""
        complete = all(_is_file(root / file.path) for file in self.files)
        if self.archive and not complete and _is_file(root / self.archive.path):
            return [(self.archive, root / self.archive.path)]
        packed = {file: root / f"{file.path}.gz" for file in self.files if file.gz_md5}
        return [
            (file, packed[file] if file in packed and _is_file(packed[file]) else root / file.path)
            for file in self.files
        ]


def _extract(archive: Path, files: Sequence[PublishedFile], into: Path) -> None:
    """Take the known files, and nothing else, out of an archive whose checksum was found right."""
    with tarfile.open(archive) as packed:
        for file in files:
            content = packed.extractfile(file.path)
            assert content is not None, "a published archive holds its files"
            with content, (into / file.name).open("wb") as unpacked:
                shutil.copyfileobj(content, unpacked, 1 << 20)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(
            f"cannot look at {path}: {error.strerror}",
            hint="ask its owner for read access, or name another folder with RAYBENCH_DATA",
        ) from None


def _checksum_problem(path: Path, md5: str) -> str | None:
    found = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
        size = file.tell()
    if found.hexdigest() == md5:
        return None
    return f"its MD5 is {found.hexdigest()} over {size:,} bytes, and should be {md5}"
