"""What the cache of a dataset depends on, and a dataset of one's own from end to end."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import plugins
import pytest

from raybench.catalog.datasets import DATASETS, load_dataset, verify
from raybench.catalog.datasets.base import Dataset, Folder, Generated, Package, Split
from raybench.catalog.datasets.sources import files_below
from raybench.errors import DataError, SpecError
from raybench.settings import workspace


def read(folder: Path) -> tuple[Split, Split]:
    import numpy as np

    train, evaluation = (np.load(folder / name) for name in ("train.npz", "garden/evaluation.npz"))
    return Split(**train), Split(**evaluation)


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("RAYBENCH_CACHE", str(tmp_path / "cache"))
    plugins.plant(tmp_path / "data")
    dataset = Dataset(
        name="flowers",
        title="Flowers",
        train_images=24,
        eval_images=8,
        num_classes=2,
        source=Folder("flowers"),
        read=read,
    )
    monkeypatch.setitem(DATASETS.built_in, "flowers", dataset)
    return dataset


def fingerprint() -> str:
    return load_dataset("flowers", workspace(), train_limit=None, eval_limit=None).fingerprint


def test_images_are_decoded_once(flowers: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint()
    monkeypatch.setattr(Dataset, "decoded", None)
    assert fingerprint() == first


def test_changed_images_of_the_same_size_are_decoded_again(
    flowers: Dataset, tmp_path: Path
) -> None:
    first = fingerprint()
    folder = plugins.plant(tmp_path / "data", seed=1)
    second = fingerprint()
    assert second != first
    # Even if they claim to be as old as those before.
    file = folder / "garden/evaluation.npz"
    before = file.stat()
    plugins.plant(tmp_path / "data", seed=2)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert fingerprint() not in (first, second)
    # And those of before are found again in the cache, or decoded, but never mixed up.
    plugins.plant(tmp_path / "data", seed=0)
    assert fingerprint() == first


def test_a_file_more_or_less_is_a_change(flowers: Dataset, tmp_path: Path) -> None:
    def state() -> object:
        return flowers.source.state("flowers", tmp_path / "data")

    first = state()
    assert state() == first
    (tmp_path / "data/flowers/garden/more").touch()
    assert state() != first
    (tmp_path / "data/flowers/garden/more").unlink()
    assert state() == first


def test_another_reader_decodes_again(
    flowers: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = Path(__file__).read_text(encoding="utf-8")
    found = []
    for change in ("", ".repeat(1, 0)[::-1]"):
        (tmp_path / f"reader{len(change)}.py").write_text(
            source.replace("Split(**train)", f"Split(train['images']{change}, train['labels'])")
        )
        reader = __import__(f"reader{len(change)}").read
        monkeypatch.setitem(DATASETS.built_in, "flowers", replace(flowers, read=reader))
        found.append(fingerprint())
    assert len({*found, fingerprint()}) == 2


def test_another_version_of_the_package_decodes_again(
    flowers: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint()
    monkeypatch.setattr(DATASETS, "origin", lambda name: "garden 1.3")
    monkeypatch.setattr(Dataset, "decoded", None)
    with pytest.raises(TypeError):
        fingerprint()


def test_a_folder_that_is_absent_says_where_its_files_belong(
    flowers: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=rf"{tmp_path}/data/flowers holds no files(.|\n)*put its"):
        DATASETS["flowers"].source.state("flowers", tmp_path / "data")
    (finding,) = verify("flowers", tmp_path / "data")
    assert (finding.state, finding.path) == ("absent", tmp_path / "data/flowers")
    DATASETS["flowers"].source.state("flowers", tmp_path / "elsewhere")


def test_a_reader_that_fails_is_named_with_its_line(flowers: Dataset, tmp_path: Path) -> None:
    (tmp_path / "data/flowers/train.npz").unlink()
    *_, finding = verify("flowers", tmp_path / "data")
    assert finding.state == "damaged"
    assert "FileNotFoundError" in finding.detail
    assert f"{__file__}, line " in finding.detail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"train_images": 23}, "24 images and 24 labels from 0 to 1(.|\n)*23 of each"),
        ({"num_classes": 1}, "labels from 0 to 1(.|\n)*labels from 0 to 0"),
        ({"checksums": ("a", "b")}, "24 images and labels decoded from Flowers are not those"),
    ],
)
def test_what_is_decoded_has_to_be_what_was_said(
    change: dict[str, object], reason: str, flowers: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=reason):
        replace(flowers, **change).decoded(tmp_path / "data", tmp_path / "scratch")


@pytest.mark.parametrize(
    ("images", "labels", "fits"),
    [
        ("uint8 2 3 3", "int64 2", True),
        ("uint8 2 3 3 3", "uint8 2", True),
        ("float32 2 3 3", "int64 2", False),
        ("uint8 2 3 3 4", "int64 2", False),
        ("uint8 2 9", "int64 2", False),
        ("uint8 2 3 3", "float64 2", False),
        ("uint8 2 3 3", "int64 2 1", False),
        ("uint8 0 3 3", "int64 0", False),
    ],
)
def test_arrays_of_other_types_and_shapes_are_refused(
    images: str, labels: str, fits: bool, flowers: Dataset, tmp_path: Path
) -> None:
    import numpy as np

    def array(text: str) -> np.ndarray:
        dtype, *shape = text.split()
        return np.zeros([*map(int, shape)], dtype)

    split = Split(array(images), array(labels))
    dataset = replace(flowers, read=lambda _: (split, split), train_images=2, eval_images=2)
    if fits:
        train, _ = dataset.decoded(tmp_path / "data", tmp_path / "scratch")
        assert (train.images.dtype, train.labels.dtype) == (np.uint8, np.int64)
    else:
        with pytest.raises(DataError, match="Flowers"):
            dataset.decoded(tmp_path / "data", tmp_path / "scratch")


@pytest.mark.parametrize("returned", [None, (), ("train", "evaluation")])
def test_a_reader_that_returns_something_else_is_refused(
    returned: object, flowers: Dataset, tmp_path: Path
) -> None:
    dataset = replace(flowers, read=lambda _: returned)
    with pytest.raises(DataError, match="the reader of Flowers does not return two splits"):
        dataset.decoded(tmp_path / "data", tmp_path / "scratch")


def test_a_package_that_is_not_installed_is_said(flowers: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no-such-thing is not installed"):
        Package("no-such-thing").state("flowers", tmp_path)


def test_a_reader_belongs_to_every_source_but_generated(flowers: Dataset) -> None:
    for change in ({"read": None}, {"source": Generated(lambda n, m: (n, m))}):
        with pytest.raises(SpecError, match="reader"):
            replace(flowers, **change)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "there/deep").mkdir(parents=True)
    (tmp_path / "there/deep/file").touch()
    (tmp_path / "there/deep/circle").symlink_to(tmp_path / "there")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert [*files_below(tmp_path / "link")] == [tmp_path / "link/deep/file"]
    assert [*files_below(tmp_path / "absent")] == []


def test_a_folder_that_cannot_be_looked_into_is_no_empty_one(
    flowers: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "data/flowers/broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"cannot look at .*broken: No such file(.|\n)*read access"):
        DATASETS["flowers"].source.state("flowers", tmp_path / "data")


@pytest.mark.parametrize("name", DATASETS.built_in)
def test_every_row(name: str, tmp_path: Path) -> None:
    dataset = DATASETS[name]
    assert DATASETS.canonical(name.upper()) == dataset.name == name
    assert DATASETS.title(name) == dataset.title
    assert DATASETS.origin(name) == "raybench"
    dataset.check_limits(dataset.train_images, dataset.eval_images)
    for limits in ((dataset.train_images + 1, 1), (1, dataset.eval_images + 1)):
        with pytest.raises(DataError, match=dataset.title):
            dataset.check_limits(*limits)
    if dataset.source.in_data_folder:
        assert tmp_path in dataset.source.folder(tmp_path).parents
        with pytest.raises(DataError, match=f"raybench data fetch {name}"):
            DATASETS[name].source.state(name, tmp_path)
        assert {finding.state for finding in verify(name, tmp_path)} == {"absent"}
        return
    DATASETS[name].source.state(name, tmp_path)
    images = load_dataset(name, workspace(), train_limit=20, eval_limit=10)
    assert (len(images.train), len(images.eval)) == (20, 10)
    assert images.num_classes == dataset.num_classes
