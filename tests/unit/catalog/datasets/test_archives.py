"""Published files: where they lie, what they should hold, and what is wrong with others."""

import numpy as np
import pytest
import small_datasets as small
from hypothesis import example, given
from hypothesis import strategies as st

from raybench.catalog.datasets import DATASETS, verify
from raybench.catalog.datasets.archives import PublishedFile
from raybench.errors import DataError


def lay_out(name, root, into):
    return DATASETS[name].source.laid_out(name, root, into)


def test_checksums_are_those_that_torchvision_downloads_by():
    from torchvision.datasets import CIFAR10, KMNIST, MNIST, FashionMNIST

    for kind in (MNIST, KMNIST, FashionMNIST):
        source = small.published(kind.__name__.lower())
        assert source.torchvision_class == kind.__name__
        assert sorted((f"{f.name}.gz", f.gz_md5) for f in source.files) == sorted(kind.resources)
        assert source.files[0].path.startswith(f"{kind.__name__}/raw/")
    source = small.published("cifar10")
    meta = [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]
    ours = [[file.name, file.md5] for file in source.files]
    assert ours == [*CIFAR10.train_list, *CIFAR10.test_list, meta]
    assert (source.archive.path, source.archive.md5) == (CIFAR10.filename, CIFAR10.tgz_md5)


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
        lay_out("kmnist", tmp_path, tmp_path / "into")
    assert str(damaged) in caught.value.message
    states = {finding.path: finding.state for finding in verify("kmnist", tmp_path)}
    assert states.pop(damaged) == "damaged"
    assert set(states.values()) == {"ok"}


SOUND = small.idx(np.zeros((2, 3, 1)))


@given(st.binary(max_size=len(SOUND) + 1) | st.integers(0, 8 * len(SOUND) - 1))
@example(SOUND)
def test_only_the_right_header_and_size_pass_for_an_idx_file(tmp_path_factory, content):
    file = PublishedFile(path="images", shape=(2, 3, 1))
    if isinstance(content, int):  # one bit of a sound file, turned over
        flipped = bytearray(SOUND)
        flipped[content // 8] ^= 1 << content % 8
        content = bytes(flipped)
    path = tmp_path_factory.getbasetemp() / "images"
    path.write_bytes(content)
    sound = content[:16] == SOUND[:16] and len(content) == len(SOUND)
    assert (file.problem(path) is None) == sound


def test_cifar_is_laid_out_from_its_archive(tmp_path, monkeypatch):
    small.publish_cifar_archive(tmp_path, monkeypatch)
    into = lay_out("cifar10", tmp_path, tmp_path / "into")
    names = {file.name for file in small.published("cifar10").files}
    assert {path.name for path in into.iterdir()} == names
    assert (into / "data_batch_3").read_bytes() == b"cifar-10-batches-py/data_batch_3"
