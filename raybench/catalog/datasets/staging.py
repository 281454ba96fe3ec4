"""How dataset files come to where raybench looks for them: copied, or downloaded by torchvision.

Nothing is put there before it was found intact.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from raybench.catalog.datasets.archives import Published, PublishedFile
from raybench.catalog.datasets.base import Dataset
from raybench.catalog.datasets.idx import read_split
from raybench.catalog.datasets.sources import files_below
from raybench.errors import DataError

DOWNLOAD_TIMEOUT_S = 30.0


class Staged(NamedTuple):
    """What became of the files that a dataset needs."""

    copied: list[Path]
    """where those lie now that were found"""
    absent: list[Path]
    """where the others should lie"""
    refused: list[str]
    """what was found and is not one of them, with the reason"""


def stage(dataset: Dataset, source: Path, root: Path, known: Collection[Dataset] = ()) -> Staged:
    """Copy a dataset's files from where the user has them to where raybench looks for them.

    Those that are found are copied even if others are not.

    Args:
        dataset: one that is published as files.
        source: a folder to search, with all that is below it, or a single file.
        root: the data folder.
        known: other datasets, whose files are not taken for this one's.

    Raises:
        DataError: none of its files was found, which one is meant cannot be told, or the folder
            cannot be written.
    """
    if not source.exists():
        raise DataError(f"{source} does not exist", hint="check the path after --from")
    published = dataset.source
    assert isinstance(published, Published), "only published files are staged"
    search = _Search(dataset, published, _by_name(source), known)
    found = search.found()
    if not found:
        names = ", ".join(file.name for file in published.files)
        what = f"{source} does not hold {published.torchvision_class}: no sound {names}"
        raise DataError(
            "\n".join([what, *search.refused]),
            allowed="the files as they are published, packed or unpacked, in any folder below it",
        )
    targets = []
    try:
        for file, path in found:
            packed = ".gz" if path.suffix == ".gz" and file is not published.archive else ""
            targets.append(root / (file.path + packed))
            _copy(path, targets[-1])
    except OSError as error:
        raise DataError(
            f"cannot write to {root}: {error.strerror or error}",
            hint="make room there, or name another folder with --data or RAYBENCH_DATA",
        ) from None
    return Staged(targets, published.absent(root), search.refused)


def fetch(dataset: Dataset, root: Path) -> list[Path]:
    """Download a dataset by torchvision, check it, and put it where raybench looks for it.

    Raises:
        DataError: it cannot be downloaded from here, or the folder cannot be written.
    """
    from torchvision import datasets  # noqa: PLC0415 - only a download needs torch

    published = dataset.source
    assert isinstance(published, Published), "only published files are downloaded"
    class_name = published.torchvision_class
    timeout = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{dataset.name}-", dir=root)
    except OSError as error:
        raise DataError(
            f"cannot write to {root}: {error.strerror or error}",
            hint="name another folder with --data or RAYBENCH_DATA",
        ) from None
    with scratch as folder:
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
        try:
            getattr(datasets, class_name)(folder, download=True)
        except (RuntimeError, OSError, HTTPException) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"cannot download {class_name}: {reason}",
                hint=f"run `raybench data fetch {dataset.name}` on a node with internet (a login "
                "node), or get the files by other means and "
                f"`raybench data stage {dataset.name} --from FOLDER`",
            ) from None
        finally:
            socket.setdefaulttimeout(timeout)
        return stage(dataset, Path(folder), root).copied


@dataclass
class _Search:
    """Looks for a dataset's files among those that are there, and notes what it refuses."""

    dataset: Dataset
    published: Published
    there: dict[str, list[Path]]
    known: Collection[Dataset]
    refused: list[str] = field(default_factory=list)

    def found(self) -> list[tuple[PublishedFile, Path]]:
        """Return the files that were found, or the archive if that was and not all of them were."""
        sound = {file: self._sound(file) for file in self.published.files}
        for pair in self.published.pairs:
            self._choose(pair, sound)
        found = [(file, paths[0]) for file, paths in sound.items() if paths]
        archive = self.published.archive
        if archive is not None and len(found) < len(sound):
            return [(archive, path) for path in self._sound(archive)] or found
        return found

    def _sound(self, file: PublishedFile) -> list[Path]:
        """Return what can be a file: one whose checksum is right, or all of the right structure."""
        names = [file.name]
        if file.gz_md5:
            # Some mirrors write "train-images.idx3-ubyte".
            dotted = file.name.replace("-idx", ".idx")
            names = [f"{file.name}.gz", f"{dotted}.gz", file.name, dotted]
        sound: dict[bytes, Path] = {}
        for path in (path for name in names for path in self.there.get(name, ())):
            if problem := file.problem(path):
                self.refused.append(f"{path}: {problem}")
            elif file.md5_of(path):
                return [path]
            else:
                sound.setdefault(path.read_bytes(), path)
        return list(sound.values())

    def _choose(
        self, pair: tuple[PublishedFile, PublishedFile], sound: dict[PublishedFile, list[Path]]
    ) -> None:
        """Leave of the files of a split those that are this dataset's by what they hold."""
        splits = {
            paths: read_split(*paths).checksum
            for paths in itertools.product(*(sound[file] for file in pair))
        }

        def held_by(*datasets: Dataset) -> set[Path]:
            wanted = {known for dataset in datasets for known in dataset.checksums or ()}
            return {path for paths in splits if splits[paths] in wanted for path in paths}

        kept = held_by(self.dataset)
        if not self.dataset.checksums:
            kept = {path for paths in splits for path in paths} - held_by(*self.known)
        for file in pair if splits else ():
            self.refused += [
                f"{path}: what it holds is not {self.dataset.title}'s"
                for path in sound[file]
                if path not in kept
            ]
            sound[file] = [path for path in sound[file] if path in kept]
        for file in pair:
            if len(sound[file]) > 1:
                raise DataError(
                    f"{len(sound[file])} files could be {file.path}: "
                    f"{', '.join(map(str, sound[file]))}",
                    hint=f"name the folder of {self.dataset.title} alone after --from",
                )


def _by_name(source: Path) -> dict[str, list[Path]]:
    """Return the files in a folder and all below it, by their names."""
    there: dict[str, list[Path]] = {}
    for path in [source] if source.is_file() else files_below(source):
        there.setdefault(path.name, []).append(path)
    return there


def _copy(path: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(path):
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(path, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
