import pytest
import small_datasets as small

from raybench.catalog.datasets import archives as dataset_files
from raybench.catalog.datasets import staging as dataset_staging
from raybench.errors import DataError


def test_an_archive_is_staged_as_it_is(tmp_path, monkeypatch):
    archive = small.publish_cifar_archive(tmp_path, monkeypatch)
    root = tmp_path / "root"
    assert dataset_staging.stage("cifar10", archive, root) == [root / archive.name]
    assert [finding.state for finding in dataset_files.verify("cifar10", root)] == ["ok"]


def test_stage_finds_files_in_any_folder_and_leaves_damaged_ones(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    files = small.packed()
    images = files.pop("train-images-idx3-ubyte.gz")
    small.write(files, tmp_path / "mine/a/b")
    small.write({"train-images-idx3-ubyte.gz": images[:-1]}, tmp_path / "mine/a/c")
    small.write({"train-images.idx3-ubyte.gz": images}, tmp_path / "mine/d")
    root = tmp_path / "root"
    staged = dataset_staging.stage("kmnist", tmp_path / "mine", root)
    assert {path.name for path in staged} == set(small.packed())
    assert all(finding.state == "ok" for finding in dataset_files.verify("kmnist", root))
    assert dataset_staging.stage("kmnist", root, root) == staged  # onto itself


def test_stage_says_what_is_missing_and_what_is_damaged(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    files = small.packed()
    files["t10k-labels-idx1-ubyte.gz"] += b"x"
    del files["train-labels-idx1-ubyte.gz"]
    small.write(files, tmp_path / "mine")
    with pytest.raises(DataError) as caught:
        dataset_staging.stage("kmnist", tmp_path / "mine", tmp_path / "root")
    first, second = caught.value.message.splitlines()
    assert first.endswith("no sound train-labels-idx1-ubyte, t10k-labels-idx1-ubyte")
    assert "t10k-labels-idx1-ubyte.gz: its MD5" in second
    assert not (tmp_path / "root").exists()
    with pytest.raises(DataError, match="does not exist"):
        dataset_staging.stage("kmnist", tmp_path / "elsewhere", tmp_path / "root")


def test_stage_tells_unpacked_files_apart_by_their_folder_or_not_at_all(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    small.write(small.contents(seed=1), tmp_path / "x/KMNIST")
    small.write(small.contents(seed=2), tmp_path / "x/other")
    root = tmp_path / "root"
    dataset_staging.stage("kmnist", tmp_path / "x", root)
    staged = (root / "KMNIST/raw/train-images-idx3-ubyte").read_bytes()
    assert staged == small.contents(seed=1)["train-images-idx3-ubyte"]
    (tmp_path / "x/KMNIST").rename(tmp_path / "x/another")
    with pytest.raises(DataError, match="2 files could be KMNIST/raw/train-images-idx3-ubyte"):
        dataset_staging.stage("kmnist", tmp_path / "x", root)
