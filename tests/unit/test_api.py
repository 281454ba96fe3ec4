"""The Python API: what it promises in its docstrings, and what it exports."""

from __future__ import annotations

import doctest
import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from records import make_record

import raybench
from raybench import api, errors
from raybench.record.store import Experiment

PAPER = Path(__file__).parents[1] / "data" / "records" / "v2" / "paper"
FUNCTIONS = ("compare", "explain", "load", "run", "tables")


@pytest.fixture
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with `results/paper`, as the examples have it."""
    shutil.copytree(PAPER, tmp_path / "results" / "paper")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_results")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_each_function_holds(name: str) -> None:
    [example] = doctest.DocTestFinder(recurse=False).find(getattr(raybench, name), name)
    assert example.examples
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_every_public_name_is_there_and_documented() -> None:
    assert raybench.__all__ == sorted(raybench.__all__)
    assert set(raybench.__all__) <= set(dir(raybench))
    for name in raybench.__all__:
        assert len(inspect.getdoc(getattr(raybench, name)) or "") > 20, name
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = raybench.nothing_like_it


def test_the_exceptions_are_all_public() -> None:
    # Others, of one package's own, may be loaded by other tests.
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    kinds = {k.__name__ for k in kinds if issubclass(k, errors.RaybenchError)}
    assert kinds <= set(raybench.__all__)


def test_to_import_it_takes_nothing_with_it() -> None:
    code = "import raybench, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"pydantic", "pandas", "numpy", "torch", "ray", "typer", "yaml"}.isdisjoint(
        done.stdout.split()
    )


def test_records_folders_and_several_of_them_are_loaded_alike(tmp_path: Path) -> None:
    records = [make_record("resnet18", "mnist", name) for name in ("K80", "P100")]
    experiments = [Experiment(tmp_path / str(number)) for number in range(2)]
    for experiment, record in zip(experiments, records, strict=True):
        experiment.write(record)
    folders = [experiment.folder for experiment in experiments]
    frames = [
        api.load(source).drop(columns="source") for source in (records, folders, str(tmp_path))
    ]
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


def test_a_file_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "unit")
    path = experiment.write(make_record())
    path.with_name("cut.json").write_text("{")
    with pytest.warns(UserWarning, match=r"left out: .*cut\.json"):
        assert len(api.load(tmp_path)) == 1
    assert len(api.load(path)) == 1


def test_a_notebook_shows_what_it_returns() -> None:
    frame = api.load(PAPER)
    [explanation] = api.explain(frame, baseline="k80")
    comparison = api.compare(frame, frame)
    for found in (api.tables(frame), explanation, comparison):
        assert "| ResNet-18 |" in str(found)
        assert "ResNet-18</td>" in found._repr_html_()


def test_a_single_trial_is_measured_once(tmp_path: Path) -> None:
    workspace = raybench.Workspace(results=tmp_path, data=tmp_path, cache=tmp_path / "cache")
    spec = raybench.TrialSpec(
        model="small_models:small", dataset="digits", hardware="cpu:1", image_size=16,
        batch_size=32, epochs=1, train_limit=64, eval_limit=32, warmup_steps=1,
    )  # fmt: skip
    [record] = raybench.run(spec, workspace=workspace)
    assert record.status == "completed"
    assert raybench.run(spec, workspace=workspace) == [record]
    assert len(list((tmp_path / "runs" / "records").iterdir())) == 1
