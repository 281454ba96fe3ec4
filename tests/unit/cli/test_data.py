import functools
import json
import socket
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import small_datasets as small
from typer.testing import CliRunner

from raybench.cli.main import application


def data(*arguments):
    """Run ``raybench data`` and return its exit code, stdout and stderr."""
    result = CliRunner().invoke(application, ["data", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A small KMNIST, published on a server of this machine; returns the server's folder."""
    from torchvision.datasets import KMNIST

    small.publish(monkeypatch)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = small.write(small.packed(), tmp_path / "mirror")
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(KMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        files = small.published("kmnist").files
        resources = [(f"{file.name}.gz", file.gz_md5) for file in files]
        monkeypatch.setattr(KMNIST, "resources", resources)
        yield folder
        server.shutdown()
        thread.join()


def test_fetch_downloads_checks_and_leaves_only_the_dataset(mirror, tmp_path):
    root = tmp_path / "root"
    code, out, err = data("fetch", "KMNIST", "--data", root)
    assert (code, out.splitlines()[0]) == (0, f"kmnist: downloading to {root}"), err
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert left == sorted(f"KMNIST/raw/{name}" for name in small.packed())
    code, out, _ = data("fetch", "kmnist", "--data", root)
    assert (code, out) == (0, f"kmnist: already in {root}, and intact\n")
    assert data("verify", "kmnist", "--data", root)[0] == 0


@pytest.mark.parametrize("reachable", [True, False])
def test_a_download_that_fails_says_what_to_do_and_leaves_nothing(
    reachable, mirror, tmp_path, monkeypatch
):
    if reachable:
        (mirror / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not what was published")
    else:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        monkeypatch.setattr("torchvision.datasets.KMNIST.mirrors", [f"http://127.0.0.1:{port}/"])
    code, _, err = data("fetch", "kmnist", "--data", tmp_path / "root")
    assert code == 2
    assert "raybench: cannot download KMNIST: " in err
    assert "login node" in err
    assert "`raybench data stage kmnist --from FOLDER`" in err
    assert list((tmp_path / "root").iterdir()) == []


def test_a_folder_that_cannot_be_written(mirror, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = data("fetch", "kmnist", "--data", tmp_path / "file")
    assert code == 2
    assert f"raybench: cannot write to {tmp_path / 'file'}" in err
    code, _, err = data("stage", "kmnist", "--from", mirror, "--data", tmp_path / "file")
    assert code == 2
    assert f"raybench: cannot write to {tmp_path / 'file'}" in err


def test_stage_then_verify(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    root = tmp_path / "root"
    small.write(small.contents(), tmp_path / "mine")
    code, out, _ = data("stage", "kmnist", "--from", tmp_path / "mine", "--data", root)
    assert (code, len(out.splitlines())) == (0, 4)
    code, out, _ = data("verify", "kmnist", "--data", root)
    assert code == 0
    *files, arrays = out.splitlines()
    assert len(files) == 4
    assert all(line.startswith("ok       kmnist ") for line in (*files, arrays))
    assert all(line.endswith("header and size are right") for line in files)
    assert arrays.endswith(
        "40 and 12 images of 28×28 decoded; no checksum of the arrays is known here, "
        "structure checked"
    )


def test_verify_exits_with_1_and_says_which_file_is_wrong(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    folder = small.write(small.packed(), tmp_path / "KMNIST/raw")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"cut short")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    code, out, _ = data("verify", "kmnist", "--data", tmp_path)
    assert code == 1
    assert "`raybench data fetch kmnist`" in out
    code, out, _ = data("verify", "kmnist", "--data", tmp_path, "--json")
    assert code == 1
    states = {row["path"].rsplit("/", 1)[-1]: row["state"] for row in json.loads(out)}
    assert states == {
        "train-images-idx3-ubyte.gz": "damaged",
        "train-labels-idx1-ubyte.gz": "ok",
        "t10k-images-idx3-ubyte.gz": "ok",
        "t10k-labels-idx1-ubyte": "absent",
    }


def test_a_partial_set_is_staged_and_what_is_absent_is_said(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    files = small.packed()
    files["train-labels-idx1-ubyte.gz"] = b"cut short"
    small.write(files, tmp_path / "mine")
    root = tmp_path / "root"
    code, out, _ = data("stage", "kmnist", "--from", tmp_path / "mine", "--data", root)
    assert code == 1
    lines = out.splitlines()
    raw = root / "KMNIST/raw"
    staged = [f"kmnist: {raw / name}" for name in files if not name.startswith("train-labels")]
    assert lines[:3] == staged
    assert lines[3] == f"kmnist: absent: {raw / 'train-labels-idx1-ubyte'}"
    assert lines[4].startswith(f"kmnist: not taken: {tmp_path / 'mine/train-labels-idx1-ubyte.gz'}")
    assert "`raybench data fetch kmnist`" in out
    code, out, _ = data("verify", "kmnist", "--data", root, "--json")
    assert code == 1
    assert [row["path"] for row in json.loads(out) if row["state"] != "ok"] == [
        str(raw / "train-labels-idx1-ubyte")
    ]


def test_list_says_what_is_there(tmp_path, monkeypatch):
    small.publish(monkeypatch)
    small.write(small.packed(), tmp_path / "KMNIST/raw")
    code, out, _ = data("list", "--data", tmp_path, "--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["kmnist"] == {
        "name": "kmnist",
        "title": "KMNIST",
        "train_images": 40,
        "eval_images": 12,
        "num_classes": 10,
        "origin": "raybench",
        "state": "present",
    }
    assert rows["cifar10"]["state"] == "absent"
    assert (rows["digits"]["state"], rows["synthetic"]["state"]) == ("present", "present")
    (tmp_path / "KMNIST/raw/train-images-idx3-ubyte.gz").unlink()
    code, out, _ = data("list", "--data", tmp_path)
    assert out.splitlines()[0].split() == [
        *("NAME", "TITLE", "TRAIN", "EVAL", "CLASSES", "FROM", "STATE")
    ]
    assert out.splitlines()[3].split() == [
        "kmnist",
        "KMNIST",
        *["40", "12", "10", "raybench", "1", "of", "4", "files", "absent"],
    ]


def test_verify_without_names_looks_at_all(tmp_path):
    code, out, _ = data("verify", "--data", tmp_path, "--json")
    assert code == 1
    found = {row["dataset"] for row in json.loads(out)}
    assert found == {"cifar10", "mnist", "kmnist", "fashionmnist"}


def test_datasets_without_files_need_nothing(tmp_path):
    code, out, _ = data("fetch", "digits", "synthetic", "--data", tmp_path)
    assert code == 0
    assert out.splitlines() == [
        "digits: nothing to do, it comes with an installed package",
        "synthetic: nothing to do, its images are made as they are needed",
    ]


def test_an_unknown_dataset(tmp_path):
    code, _, err = data("verify", "nmist", "--data", tmp_path)
    assert code == 2
    assert "did you mean 'mnist'?" in err


def test_an_own_dataset_is_not_fetched_but_told_where_it_belongs(tmp_path, monkeypatch):
    from raybench.catalog.datasets import DATASETS
    from raybench.catalog.datasets.base import Dataset, Folder

    own = {"train_images": 1, "eval_images": 1, "num_classes": 2, "read": lambda _: 1 / 0}
    flowers = Dataset(name="flowers", title="Flowers", source=Folder("flowers"), **own)
    monkeypatch.setitem(DATASETS.built_in, "flowers", flowers)
    code, _, err = data("fetch", "flowers", "--data", tmp_path)
    assert code == 2
    assert f"{tmp_path / 'flowers'} holds no files" in err
    (tmp_path / "flowers").mkdir()
    (tmp_path / "flowers/rose").touch()
    code, out, _ = data("stage", "flowers", "--from", tmp_path, "--data", tmp_path)
    assert (code, out) == (0, "flowers: nothing to do, its folder is read where it lies\n")
    code, out, _ = data("verify", "flowers", "--data", tmp_path)
    assert code == 1
    assert out.startswith(f"damaged  flowers       {tmp_path / 'flowers'}: Flowers cannot be read")
    assert "ZeroDivisionError" in out
    assert f"{__file__}, line " in out
    assert "raybench data fetch" not in out
