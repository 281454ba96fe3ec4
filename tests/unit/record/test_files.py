"""What becomes of files when disks, links and processes fail."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from raybench.errors import ResultsError
from raybench.record import files
from raybench.record.files import (
    check_writable,
    create,
    locked,
    read_plain,
    temporaries,
    write_atomically,
    write_once,
)
from raybench.system.processes import machine


def full_disk(file: BinaryIO) -> None:
    file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_first_to_write_a_file_decides_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "once.json"
    assert write_once(path, b"first") == b"first"
    assert write_once(path, b"second") == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["once.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(ResultsError, match="make room"):
        write_atomically(path, full_disk)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(file: BinaryIO) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file.json", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="RAYBENCH_RESULTS"):
        check_writable(tmp_path / "file" / "results")


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, path = tmp_path / "victim", tmp_path / "folder" / "file.json"
    victim.write_text("precious")
    path.parent.mkdir()
    path.symlink_to(victim)
    write_atomically(path, lambda file: file.write(b"ours"))
    assert not path.is_symlink()
    assert (victim.read_text(), path.read_text()) == ("precious", "ours")
    # Even a name that was foreseen is not written to.
    monkeypatch.setattr("secrets.token_hex", lambda _: "0" * 16)
    planted = path.with_name(f".file.json.{os.getpid()}@{machine()}.{'0' * 16}.tmp")
    planted.symlink_to(victim)
    with pytest.raises(ResultsError, match="exists"):
        write_atomically(path, lambda file: file.write(b"again"))
    assert (victim.read_text(), path.read_text()) == ("precious", "ours")


def test_names_of_temporary_files_cannot_be_foreseen(tmp_path: Path) -> None:
    seen: set[str] = set()

    def note(_: BinaryIO) -> None:
        [temporary] = temporaries(tmp_path)
        assert (temporary.name, temporary.is_here, temporary.is_alive) == ("a", True, True)
        seen.add(temporary.path.name)

    for _ in range(2):
        write_atomically(tmp_path / "a", note)
    assert len(seen) == 2


def test_a_file_is_created_once_also_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("os.link", no_links)
    assert create(tmp_path / "a", b"first")
    assert not create(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_rename_is_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[tuple[bool, bool]] = []

    def note(number: int) -> None:
        is_folder = Path(f"/proc/self/fd/{number}").is_dir()
        flushed.append((is_folder, (tmp_path / "a").exists()))

    monkeypatch.setattr("os.fsync", note)
    write_atomically(tmp_path / "a", lambda file: file.write(b"a"))
    assert flushed == [(False, False), (True, True)]


def test_only_plain_files_of_a_sensible_size_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345678")
    assert read_plain(path, 8) == b"12345678"
    with pytest.raises(OSError, match="too large"):
        read_plain(path, 7)
    os.mkfifo(tmp_path / "fifo")
    for other in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="plain file"):
            read_plain(other, 8)


def test_a_lock_is_held_by_one_at_a_time_and_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path):
            order.append("second")

    with locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    monkeypatch.setattr(files, "LOCK_S", 0.0)
    with locked(tmp_path), locked(tmp_path):
        pass


def test_a_folder_without_room_for_a_lock_goes_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with locked(tmp_path / "file"):
        pass
