import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import small_datasets as small

from raybench.catalog.datasets import DATASETS, load_dataset, verify
from raybench.catalog.datasets.base import Dataset
from raybench.errors import DataError, SpecError
from raybench.settings import workspace


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def kmnist(tmp_path, monkeypatch):
    """A data folder with the packed files of a small KMNIST."""
    small.publish(monkeypatch)
    small.write(small.packed(), tmp_path / "data/KMNIST/raw")
    return tmp_path / "data"


def load(name, root=Path("nowhere"), train_limit=None, eval_limit=None):
    return load_dataset(name, workspace(data=root), train_limit=train_limit, eval_limit=eval_limit)


def test_names():
    assert DATASETS.canonical("MNIST") == "mnist"
    with pytest.raises(SpecError, match="did you mean 'fashionmnist'"):
        DATASETS.canonical("fashion-mnist")


def test_digits():
    digits = load("digits")
    assert digits.train.images.shape == (1437, 8, 8)
    assert digits.eval.images.shape == (360, 8, 8)
    assert digits.train.images.dtype == np.uint8
    assert digits.train.labels.dtype == np.int64
    assert (digits.train.images.min(), digits.train.images.max()) == (0, 255)
    assert set(digits.eval.labels) == set(range(10))
    # scikit-learn's digits begin 0, 1, 2, …; the first of every five is for evaluation.
    assert digits.eval.labels[:3].tolist() == [0, 5, 0]
    assert digits.train.labels[:6].tolist() == [1, 2, 3, 4, 6, 7]
    assert digits.fingerprint == "7b30a328b62814f2"


def test_synthetic_is_the_same_everywhere_and_only_as_long_as_is_asked_for():
    first = load("synthetic", train_limit=30, eval_limit=20)
    assert first.train.images.shape == (30, 32, 32, 3)
    assert first.train.images[0, 0, :2].tolist() == [[95, 130, 194], [217, 207, 235]]
    longer = load("synthetic", train_limit=60, eval_limit=20)
    assert np.array_equal(longer.train.images[:30], first.train.images)
    assert not np.array_equal(first.eval.images, first.train.images[:20])
    assert longer.fingerprint != first.fingerprint
    assert load("synthetic", train_limit=30, eval_limit=20).fingerprint == first.fingerprint


def test_limits_take_the_first_images():
    digits = load("digits")
    few = load("digits", train_limit=7, eval_limit=3)
    assert np.array_equal(few.train.images, digits.train.images[:7])
    assert np.array_equal(few.eval.labels, digits.eval.labels[:3])
    assert few.fingerprint != digits.fingerprint


@pytest.mark.parametrize(("field", "size"), [("train_limit", "1,437"), ("eval_limit", "360")])
def test_a_limit_above_the_size_is_refused(field, size):
    with pytest.raises(DataError, match=f"{field} is 9,999, but digits has {size} images"):
        load("digits", **{field: 9999})


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_an_absent_dataset_names_the_command_that_fetches_it(name, tmp_path):
    with pytest.raises(DataError) as caught:
        load(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert f"`raybench data fetch {name}`" in str(caught.value)
    assert f"`raybench data stage {name} --from FOLDER`" in str(caught.value)


def test_packed_files_are_decoded_once_and_mapped(kmnist, cache, monkeypatch):
    first = load("kmnist", kmnist)
    expected = small.contents()
    assert first.train.images.tobytes() == expected["train-images-idx3-ubyte"][16:]
    assert bytes(first.eval.labels.astype(np.uint8)) == expected["t10k-labels-idx1-ubyte"][8:]
    assert isinstance(first.train.images, np.memmap)
    assert sorted(path.name for path in kmnist.rglob("*.gz")) == sorted(small.packed())

    monkeypatch.setattr(Dataset, "decoded", None)  # decoding again would fail
    assert load("kmnist", kmnist).fingerprint == first.fingerprint
    (folder,) = (cache / "datasets").iterdir()
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", *[".npy"] * 4]


def test_what_a_trial_writes_does_not_reach_the_cache(kmnist):
    first = load("kmnist", kmnist)
    first.train.images[:] = 0
    assert load("kmnist", kmnist).fingerprint == first.fingerprint


def test_unpacked_files_give_the_same_images(kmnist, tmp_path):
    small.write(small.contents(), tmp_path / "unpacked/KMNIST/raw")
    # A pickle of torchvision's older versions lies beside them; it must never be loaded.
    small.write(
        {"training.pt": b"no pickle", "test.pt": b"no pickle"},
        tmp_path / "unpacked/KMNIST/processed",
    )
    assert load("kmnist", tmp_path / "unpacked").fingerprint == load("kmnist", kmnist).fingerprint


def test_changed_files_are_never_served_stale(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    folder = small.write(small.contents(seed=0), tmp_path / "KMNIST/raw")
    first = load("kmnist", tmp_path).fingerprint
    small.write(small.contents(seed=1), folder)  # the same sizes, later
    assert load("kmnist", tmp_path).fingerprint != first


def test_a_damaged_cache_is_made_again(kmnist, cache):
    first = load("kmnist", kmnist).fingerprint
    (images,) = cache.rglob("train_images.npy")
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    assert load("kmnist", kmnist).fingerprint == first
    (images,) = cache.rglob("train_images.npy")
    for content in (b"cut short", b""):
        (images,) = cache.rglob("train_images.npy")
        images.write_bytes(content)
        assert load("kmnist", kmnist).fingerprint == first
    assert len(list((cache / "datasets").iterdir())) == 1


def test_trials_that_start_together_share_one_cache(kmnist, cache):
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: load("kmnist", kmnist), range(8)))
    assert len({images.fingerprint for images in loaded}) == 1
    assert len(list((cache / "datasets").iterdir())) == 1


def test_a_cache_that_cannot_be_written_names_the_variable(kmnist, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RAYBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write(.|\n)*RAYBENCH_CACHE"):
        load("kmnist", kmnist)


def test_labels_out_of_range_are_refused(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    labels = {"t10k-labels-idx1-ubyte": small.idx(np.full(small.EVAL_IMAGES, 10))}
    small.write(small.contents() | labels, tmp_path / "KMNIST/raw")
    with pytest.raises(DataError, match="labels from 10 to 10"):
        load("kmnist", tmp_path)


class Exploding:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_cifar_pickles_are_not_unpickled_before_their_checksum_is_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [file.name for file in small.published("cifar10").files]
    evil = dict.fromkeys(names, pickle.dumps(Exploding()))
    small.write(evil, tmp_path / "cifar-10-batches-py")
    with pytest.raises(DataError, match="data_batch_1 is damaged"):
        load("cifar10", tmp_path)
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("name", "fingerprint", "first_label"),
    [("mnist", "fc941b9c3d887521", 5), ("cifar10", "5d57bd4a9395fe08", 6)],
)
def test_the_published_files(name, fingerprint, first_label, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("RAYBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    if any(finding.state == "absent" for finding in verify(name, small.REAL_DATA)):
        pytest.skip(f"{name} is not in {small.REAL_DATA}")
    images = load(name, small.REAL_DATA, train_limit=1000, eval_limit=100)
    assert images.fingerprint == fingerprint
    assert images.train.labels[0] == first_label
