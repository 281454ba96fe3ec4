"""Files that the user has, or that torchvision downloads, come to where raybench looks for them."""

import pytest
import small_datasets as small

from raybench.catalog.datasets import DATASETS, verify
from raybench.catalog.datasets.staging import stage
from raybench.errors import DataError


def test_an_archive_is_staged_as_it_is(tmp_path, monkeypatch):
    archive = small.publish_cifar_archive(tmp_path, monkeypatch)
    root = tmp_path / "root"
    staged = stage(DATASETS["cifar10"], archive, root)
    assert (staged.copied, staged.absent) == ([root / archive.name], [])
    findings = DATASETS["cifar10"].source.findings("cifar10", root)
    assert [finding.state for finding in findings] == ["ok"]


def test_stage_finds_files_in_any_folder_and_leaves_damaged_ones(tmp_path, monkeypatch):
    kmnist = small.publish(monkeypatch)
    files = small.packed()
    images = files.pop("train-images-idx3-ubyte.gz")
    small.write(files, tmp_path / "mine/a/b")
    small.write({"train-images-idx3-ubyte.gz": images[:-1]}, tmp_path / "mine/a/c")
    small.write({"train-images.idx3-ubyte.gz": images}, tmp_path / "mine/d")
    root = tmp_path / "root"
    staged = stage(kmnist, tmp_path / "mine", root)
    assert {path.name for path in staged.copied} == set(small.packed())
    assert staged.absent == []
    assert all(finding.state == "ok" for finding in verify("kmnist", root))
    assert stage(kmnist, root, root).copied == staged.copied  # onto itself


def test_stage_takes_what_is_there_and_says_what_is_not(tmp_path, monkeypatch):
    kmnist = small.publish(monkeypatch)
    files = small.packed()
    files["t10k-labels-idx1-ubyte.gz"] += b"x"
    late = files.pop("train-labels-idx1-ubyte.gz")
    small.write(files, tmp_path / "mine")
    raw = tmp_path / "root/KMNIST/raw"
    staged = stage(kmnist, tmp_path / "mine", tmp_path / "root")
    assert [path.name for path in staged.copied] == [
        "train-images-idx3-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
    ]
    assert staged.absent == [raw / "train-labels-idx1-ubyte", raw / "t10k-labels-idx1-ubyte"]
    assert "t10k-labels-idx1-ubyte.gz: its MD5" in staged.refused[0]
    states = {finding.path: finding.state for finding in verify("kmnist", tmp_path / "root")}
    assert states == {
        **dict.fromkeys(staged.copied, "ok"),
        **dict.fromkeys(staged.absent, "absent"),
    }
    # The others may come later, and from elsewhere.
    files = {"train-labels-idx1-ubyte.gz": late}
    files["t10k-labels-idx1-ubyte.gz"] = small.packed()["t10k-labels-idx1-ubyte.gz"]
    assert not stage(kmnist, small.write(files, tmp_path / "more"), tmp_path / "root").absent


def test_stage_of_nothing_says_what_was_looked_for_and_writes_nothing(tmp_path, monkeypatch):
    kmnist = small.publish(monkeypatch)
    small.write({"t10k-labels-idx1-ubyte.gz": b"x"}, tmp_path / "mine")
    with pytest.raises(DataError) as caught:
        stage(kmnist, tmp_path / "mine", tmp_path / "root")
    first, second = caught.value.message.splitlines()
    assert "does not hold KMNIST: no sound train-images-idx3-ubyte, train-labels" in first
    assert "t10k-labels-idx1-ubyte.gz: its MD5" in second
    assert not (tmp_path / "root").exists()
    with pytest.raises(DataError, match="does not exist"):
        stage(kmnist, tmp_path / "elsewhere", tmp_path / "root")


def test_unpacked_files_are_told_apart_by_what_they_hold(tmp_path, monkeypatch):
    """All of the MNIST family bear the same names."""
    mnist = small.publish(monkeypatch, "mnist", checksums_are_known=True)
    small.publish(monkeypatch, "kmnist")
    small.write(small.contents(seed=1), tmp_path / "x/a")
    small.write(small.contents(seed=0), tmp_path / "x/b")
    root, kmnist = tmp_path / "root", DATASETS["kmnist"]
    assert stage(mnist, tmp_path / "x", root).absent == []
    staged = (root / "MNIST/raw/train-images-idx3-ubyte").read_bytes()
    assert staged == small.contents(seed=0)["train-images-idx3-ubyte"]
    assert verify("mnist", root)[-1].detail.endswith("their checksums match")

    # Of KMNIST only what it is not is known: another dataset's.
    assert stage(kmnist, tmp_path / "x", root, [mnist]).absent == []
    staged = (root / "KMNIST/raw/train-images-idx3-ubyte").read_bytes()
    assert staged == small.contents(seed=1)["train-images-idx3-ubyte"]
    assert "no checksum of the arrays is known here" in verify("kmnist", root)[-1].detail
    with pytest.raises(DataError, match="2 files could be KMNIST/raw/train-images-idx3-ubyte"):
        stage(kmnist, tmp_path / "x", root)
    with pytest.raises(DataError, match="what it holds is not MNIST's"):
        stage(mnist, tmp_path / "x/a", root)
