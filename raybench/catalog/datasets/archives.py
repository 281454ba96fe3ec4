"""The files that datasets are read from: where they lie, what they should hold, how to get them.

They lie as torchvision lays them out below ``RAYBENCH_DATA`` (or the user's data folder). The
checksums of archives are those that torchvision downloads by; those of unpacked MNIST files were
made from archives that match them. For unpacked KMNIST and FashionMNIST files none is published,
so that only their structure can be checked.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import shutil
import struct
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raybench.errors import DataError


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a dataset, as it is once unpacked.

    Attributes:
        path: where it lies below the data folder.
        md5: its published checksum, if there is one.
        sha256: its checksum, made from the published archive.
        shape: what its idx header says: images × height × width, or labels.
        gz_md5: the published checksum of the same file with ``.gz``, which is read as it is.
    """

    path: str
    md5: str | None = None
    sha256: str | None = None
    shape: tuple[int, ...] = ()
    gz_md5: str | None = None


def _mnist_family(
    class_name: str, gz_md5: Sequence[str], sha256: Sequence[str | None]
) -> list[DataFile]:
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    shapes = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
    return [
        DataFile(path=f"{class_name}/raw/{name}-ubyte", shape=shape, gz_md5=packed, sha256=unpacked)
        for name, shape, packed, unpacked in zip(names, shapes, gz_md5, sha256, strict=True)
    ]


FILES: dict[str, list[DataFile]] = {
    "cifar10": [
        DataFile(path=f"cifar-10-batches-py/{name}", md5=md5)
        for name, md5 in (
            ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            ("data_batch_4", "634d18415352ddfa80567beed471001a"),
            ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
            ("test_batch", "40351d587109b95175f43aff81a1287e"),
            ("batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        )
    ],
    "mnist": _mnist_family(
        "MNIST",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "kmnist": _mnist_family(
        "KMNIST",
        (
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
        (None,) * 4,
    ),
    "fashionmnist": _mnist_family(
        "FashionMNIST",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        (None,) * 4,
    ),
}
"""The files of each dataset that has any."""

ARCHIVES: dict[str, DataFile] = {
    "cifar10": DataFile(path="cifar-10-python.tar.gz", md5="c58f30108f718f92721af3b95e74349a"),
}
"""A dataset's files in one published archive, which is read where the files are not there."""

TORCHVISION_CLASSES = {
    "cifar10": "CIFAR10",
    "mnist": "MNIST",
    "kmnist": "KMNIST",
    "fashionmnist": "FashionMNIST",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of looking at one file.

    Attributes:
        dataset: the dataset that it belongs to.
        path: where it lies, or should.
        state: whether it can be used.
        detail: how that is known, or what is wrong.
    """

    dataset: str
    path: Path
    state: Literal["ok", "absent", "damaged"]
    detail: str


def verify(name: str, root: Path) -> list[Finding]:
    """Check each file of a dataset against its checksum, or its structure where it has none."""
    findings = []
    for file, path in _choose(name, root):
        state: Literal["ok", "absent", "damaged"] = "ok"
        detail = "structure only: no checksum is published for the unpacked file"
        if path.suffix == ".gz" or file.md5 or file.sha256:
            detail = "checksum matches"
        if not _is_file(path):
            state, detail = "absent", "not there"
        else:
            problem = problem_with(file, path)
            if problem:
                state, detail = "damaged", problem
        findings.append(Finding(dataset=name, path=path, state=state, detail=detail))
    return findings


def located(name: str, root: Path) -> list[Path]:
    """Return the files that a dataset will be read from.

    Raises:
        DataError: one is absent; the message has the commands that get it.
    """
    paths = [path for _, path in _choose(name, root)]
    absent = [path for path in paths if not _is_file(path)]
    if absent:
        raise DataError(
            f"{TORCHVISION_CLASSES[name]} is not in {root}: "
            f"{len(absent)} of {len(paths)} files are absent, such as {absent[0]}",
            hint=f"`raybench data fetch {name}` where there is internet (a login node), or "
            f"`raybench data stage {name} --from FOLDER` for files that you have; "
            "RAYBENCH_DATA or --data names another folder",
        )
    return paths


def unpack(name: str, root: Path, into: Path) -> None:
    """Lay out a dataset's files, checked and unpacked, the way that torchvision reads them.

    Raises:
        DataError: a file is absent or damaged.
    """
    located(name, root)
    for file, path in _choose(name, root):
        problem = problem_with(file, path)
        if problem:
            raise DataError(
                f"{path} is damaged or unreadable: {problem}",
                hint=f"remove it, then `raybench data fetch {name}` where there is internet",
            )
        if file is ARCHIVES.get(name):
            _extract(path, FILES[name], into)
            continue
        target = into / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gz":
            with gzip.open(path) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
        else:
            target.symlink_to(path.resolve())


def _extract(archive: Path, files: Sequence[DataFile], into: Path) -> None:
    """Take the known files, and nothing else, out of an archive whose checksum was found right."""
    with tarfile.open(archive) as packed:
        for file in files:
            target = into / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            content = packed.extractfile(file.path)
            assert content is not None, "a published archive holds its files"
            with content, target.open("wb") as unpacked:
                shutil.copyfileobj(content, unpacked, 1 << 20)


def _choose(name: str, root: Path) -> list[tuple[DataFile, Path]]:
    """Return what to read: the packed file where it lies there, since its checksum is published."""
    archive = ARCHIVES.get(name)
    complete = all(_is_file(root / file.path) for file in FILES[name])
    if archive is not None and not complete and _is_file(root / archive.path):
        return [(archive, root / archive.path)]
    chosen = []
    for file in FILES[name]:
        packed = root / f"{file.path}.gz"
        use_packed = file.gz_md5 is not None and _is_file(packed)
        chosen.append((file, packed if use_packed else root / file.path))
    return chosen


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(
            f"cannot look at {path}: {error.strerror}",
            hint="ask its owner for read access, or name another folder with RAYBENCH_DATA",
        ) from None


def problem_with(file: DataFile, path: Path) -> str | None:
    """Return what is wrong with a file, or None."""
    try:
        if path.suffix == ".gz":
            return _checksum_problem(path, "md5", file.gz_md5 or file.md5)
        problem = _checksum_problem(path, "md5", file.md5)
        problem = problem or _checksum_problem(path, "sha256", file.sha256)
        return problem or (_idx_problem(path, file.shape) if file.shape else None)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"


def _checksum_problem(path: Path, algorithm: str, expected: str | None) -> str | None:
    if expected is None:
        return None
    found = file_checksum(path, algorithm)
    if found == expected:
        return None
    size = path.stat().st_size
    return f"its {algorithm.upper()} is {found} over {size:,} bytes, and should be {expected}"


def file_checksum(path: Path, algorithm: str) -> str:
    """Return a file's checksum by one of hashlib's algorithms."""
    content = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            content.update(block)
    return content.hexdigest()


def _idx_problem(path: Path, shape: tuple[int, ...]) -> str | None:
    """Compare an idx file's header and size: two zeros, 8 for uint8, dimensions, their sizes."""
    expected = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    with path.open("rb") as file:
        header = file.read(len(expected))
    if header[:4] != expected[:4]:
        return f"its magic number is 0x{header[:4].hex()}, and should be 0x{expected[:4].hex()}"
    found = struct.unpack(f">{len(shape)}I", header[4:]) if len(header) == len(expected) else ()
    if found != shape:
        return f"its header says {_times(found)}, and should say {_times(shape)}"
    size, whole = path.stat().st_size, len(expected) + math.prod(shape)
    if size != whole:
        return f"it has {size:,} bytes, and should have {whole:,}"
    return None


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(f"{length:,}" for length in shape) or "nothing"
