"""How dataset files come to where raybench looks for them: copied, or downloaded by torchvision.

Nothing is put there before it was found intact.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from raybench.catalog.datasets.archives import (
    ARCHIVES,
    FILES,
    TORCHVISION_CLASSES,
    DataFile,
    file_checksum,
    problem_with,
)
from raybench.errors import DataError

DOWNLOAD_TIMEOUT_S = 30.0

_KNOWN_SHA256 = {file.sha256 for files in FILES.values() for file in files if file.sha256}
_NAMED_LIKE = {"kmnist": ("kmnist", "kuzushiji"), "fashionmnist": ("fashion",)}


def stage(name: str, source: Path, root: Path) -> list[Path]:
    """Copy a dataset's files from where the user has them to where raybench looks for them.

    Args:
        name: a dataset of ``FILES``.
        source: a folder to search, with all that is below it, or a single archive.
        root: the data folder.

    Returns:
        The files as they lie in the data folder now.

    Raises:
        DataError: not all files were found, one is damaged, or the folder cannot be written.
    """
    found = _find(name, source)
    staged = []
    for file, path in found:
        relative = file.path
        if path.suffix == ".gz" and file is not ARCHIVES.get(name):
            relative += ".gz"
        staged.append(root / relative)
    try:
        for (_, path), target in zip(found, staged, strict=True):
            _copy(path, target)
    except OSError as error:
        raise DataError(
            f"cannot write to {root}: {error.strerror or error}",
            hint="make room there, or name another folder with --data or RAYBENCH_DATA",
        ) from None
    return staged


def fetch(name: str, root: Path) -> list[Path]:
    """Download a dataset by torchvision, check it, and put it where raybench looks for it.

    Raises:
        DataError: it cannot be downloaded from here, or the folder cannot be written.
    """
    from torchvision import datasets  # noqa: PLC0415 - only a download needs torch

    class_name = TORCHVISION_CLASSES[name]
    timeout = socket.getdefaulttimeout()
    try:
        root.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root)
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
                hint=f"run `raybench data fetch {name}` on a node with internet (a login node), or "
                f"get the files by other means and `raybench data stage {name} --from FOLDER`",
            ) from None
        finally:
            socket.setdefaulttimeout(timeout)
        return stage(name, Path(folder), root)


def _find(name: str, source: Path) -> list[tuple[DataFile, Path]]:
    """Return a sound file below ``source`` for each that the dataset needs, or its archive."""
    if not source.exists():
        raise DataError(f"{source} does not exist", hint="check the path after --from")
    there = _files_below(source)
    refused: list[str] = []
    found = [_pick(name, file, there, refused) for file in FILES[name]]
    complete = [pair for pair in found if pair is not None]
    if len(complete) == len(found):
        return complete
    archive = name in ARCHIVES and _pick(name, ARCHIVES[name], there, refused)
    if archive:
        return [archive]
    absent = [PurePosixPath(f.path).name for f, p in zip(FILES[name], found, strict=True) if not p]
    what = f"{source} does not hold {TORCHVISION_CLASSES[name]}: no sound {', '.join(absent)}"
    raise DataError(
        "\n".join([what, *refused]),
        allowed="the files as they are published, packed or unpacked, in any folder below it",
    )


def _files_below(source: Path) -> dict[str, list[Path]]:
    """Return the files in a folder and all below it, by their names."""
    there: dict[str, list[Path]] = {}
    if source.is_file():
        return {source.name: [source]}
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            there.setdefault(name, []).append(Path(folder, name))
    return there


def _pick(
    name: str, file: DataFile, there: dict[str, list[Path]], refused: list[str]
) -> tuple[DataFile, Path] | None:
    """Return a sound candidate for a file, and note in ``refused`` what is wrong with others."""
    plain = PurePosixPath(file.path).name
    names = [plain]
    if file.gz_md5:
        # Some mirrors write "train-images.idx3-ubyte".
        dotted = plain.replace("-idx", ".idx")
        names = [f"{plain}.gz", f"{dotted}.gz", plain, dotted]
    sound = []
    for path in (path for known in names for path in there.get(known, ())):
        problem = problem_with(file, path)
        if problem:
            refused.append(f"{path}: {problem}")
        elif path.suffix == ".gz" or file.md5 or file.sha256:
            return file, path
        elif file_checksum(path, "sha256") not in _KNOWN_SHA256:
            sound.append(path)
    if len(sound) > 1:
        # Only the folder tells KMNIST's unpacked files from FashionMNIST's.
        named = [p for p in sound if any(word in str(p).casefold() for word in _NAMED_LIKE[name])]
        sound = named or sound
    if len({file_checksum(path, "sha256") for path in sound}) > 1:
        raise DataError(
            f"{len(sound)} files could be {file.path}: {', '.join(map(str, sound))}",
            hint=f"name the folder of {TORCHVISION_CLASSES[name]} alone after --from",
        )
    return (file, sound[0]) if sound else None


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
