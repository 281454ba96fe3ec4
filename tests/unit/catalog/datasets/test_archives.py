from pathlib import Path

import numpy as np
import pytest
import small_datasets as small
from hypothesis import example, given
from hypothesis import strategies as st

from raybench.catalog.datasets import archives as dataset_files
from raybench.errors import DataError


def test_checksums_are_those_that_torchvision_downloads_by():
    from torchvision.datasets import CIFAR10, KMNIST, MNIST, FashionMNIST

    for kind in (MNIST, KMNIST, FashionMNIST):
        ours = [
            (f"{Path(file.path).name}.gz", file.gz_md5)
            for file in dataset_files.FILES[kind.__name__.lower()]
        ]
        assert sorted(ours) == sorted(kind.resources)
        assert f"{kind.__name__}/raw" in dataset_files.FILES[kind.__name__.lower()][0].path
    ours = [[Path(file.path).name, file.md5] for file in dataset_files.FILES["cifar10"]]
    meta = [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]
    assert ours == [*CIFAR10.train_list, *CIFAR10.test_list, meta]
    archive = dataset_files.ARCHIVES["cifar10"]
    assert (archive.path, archive.md5) == (CIFAR10.filename, CIFAR10.tgz_md5)


def cut_short(data):
    return data[:-5]


def other_magic(data):
    return b"\0\0\x0d" + data[3:]


def other_count(data):
    return data[:7] + b"\x07" + data[8:]


@pytest.mark.parametrize(
    ("suffix", "damage", "reason"),
    [
        (".gz", cut_short, "MD5"),
        ("", cut_short, "bytes, and should have"),
        ("", other_magic, "magic number is 0x00000d03, and should be 0x00000803"),
        ("", other_count, "header says 7×28×28, and should say 40×28×28"),
        ("", lambda data: b"", "magic"),
    ],
)
def test_a_damaged_file_is_named(suffix, damage, reason, tmp_path, monkeypatch):
    small.publish(monkeypatch)
    files = small.packed() if suffix else small.contents()
    folder = small.write(files, tmp_path / "KMNIST/raw")
    damaged = folder / f"train-images-idx3-ubyte{suffix}"
    damaged.write_bytes(damage(damaged.read_bytes()))
    with pytest.raises(DataError, match=reason) as caught:
        dataset_files.unpack("kmnist", tmp_path, tmp_path / "into")
    assert str(damaged) in caught.value.message
    states = {finding.path: finding.state for finding in dataset_files.verify("kmnist", tmp_path)}
    assert states.pop(damaged) == "damaged"
    assert set(states.values()) == {"ok"}


SOUND = small.idx(np.zeros((2, 3, 1)))


@given(st.binary(max_size=len(SOUND) + 1) | st.integers(0, 8 * len(SOUND) - 1))
@example(SOUND)
def test_only_the_right_header_and_size_pass_for_an_idx_file(tmp_path_factory, content):
    file = dataset_files.DataFile(path="images", shape=(2, 3, 1))
    if isinstance(content, int):  # one bit of a sound file, turned over
        flipped = bytearray(SOUND)
        flipped[content // 8] ^= 1 << content % 8
        content = bytes(flipped)
    path = tmp_path_factory.getbasetemp() / "images"
    path.write_bytes(content)
    sound = content[:16] == SOUND[:16] and len(content) == len(SOUND)
    assert (dataset_files.problem_with(file, path) is None) == sound


def test_cifar_is_read_from_its_archive(tmp_path, monkeypatch):
    small.publish_cifar_archive(tmp_path, monkeypatch)
    dataset_files.unpack("cifar10", tmp_path, tmp_path / "into")
    found = sorted(path.name for path in (tmp_path / "into/cifar-10-batches-py").iterdir())
    assert found == sorted(Path(file.path).name for file in dataset_files.FILES["cifar10"])
    content = (tmp_path / "into/cifar-10-batches-py/data_batch_3").read_bytes()
    assert content == b"cifar-10-batches-py/data_batch_3"
