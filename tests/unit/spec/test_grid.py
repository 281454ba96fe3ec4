from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raybench.errors import SpecError
from raybench.spec.grid import GridSpec, grid_spec, grid_yaml, load_grid, parse_settings

BASE = {"model": "resnet18", "dataset": "mnist", "hardware": "P100"}


def test_the_plan_interleaves_hardware_and_runs_repeats_pass_by_pass() -> None:
    grid = grid_spec(
        {"model": ["googlenet", "resnet18"], "dataset": "mnist", "hardware": ["P100", "K80"],
         "repeats": 2}
    )  # fmt: skip
    order = [(t.repeat, t.model, t.hardware) for t in grid.plan()]
    assert order == [
        (repeat, model, hardware)
        for repeat in (0, 1)
        for model in ("googlenet", "resnet18")
        for hardware in ("P100", "K80")
    ]


def test_exclude_leaves_out_what_agrees_in_all_that_is_named() -> None:
    content = {"model": ["googlenet", "resnet18"], "dataset": "mnist", "hardware": ["P100", "K80"]}
    grid = grid_spec({**content, "exclude": [{"model": "GoogLeNet", "hardware": ["k80"]}]})
    assert len(grid.plan()) == 3
    with pytest.raises(SpecError, match="holds no trial"):
        grid_spec({**content, "exclude": {"dataset": "mnist"}}).plan()


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ({"model": "resnet18", "dataset": "mnist"}, "has no hardware"),
        ({**BASE, "epoch": 1}, "'epochs'"),
        ({**BASE, "epochs": []}, "empty list"),
        ({**BASE, "repeats": 0}, "repeats"),
        ({**BASE, "repeats": True}, "repeats"),
        ({**BASE, "name": "../../etc"}, "allowed: 1 to 64 letters, digits"),
        ({**BASE, "repeats": 100_000_000}, "the grid has 100,000,000 trials\nallowed: at most"),
        ({**BASE, "repeats": 50_001, "epochs": [1, 2]}, "the grid has 100,002 trials"),
        ({**BASE, "exclude": ["P100"]}, "mappings"),
        ({**BASE, "exclude": [{"modell": "x"}]}, "'model'"),
        ({**BASE, "repeat": [0, 1]}, "repeats"),
    ],
)
def test_a_wrong_grid_is_refused(content: dict[str, Any], fragment: str) -> None:
    with pytest.raises(SpecError, match=fragment):
        grid_spec(content)


def test_the_papers_grid_is_its_twelve_runs() -> None:
    path = Path(__file__).parents[3] / "experiments" / "paper.yaml"
    trials = load_grid(path).plan()
    assert len(trials) == 12
    assert {t.hardware for t in trials} == {"P100", "K80"}
    assert {(t.epochs, t.batch_size, t.image_size, t.precision) for t in trials} == {
        (10, 10, 224, "fp32")
    }


def test_a_grid_from_a_file_takes_overrides_and_is_written_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: resnet18\ndataset: [mnist, kmnist]\nhardware: P100\n")
    grid = load_grid(path, {"epochs": 1})
    assert grid.name == "mine"
    assert {trial.epochs for trial in grid.plan()} == {1}
    again = tmp_path / "again.yaml"
    again.write_text(grid_yaml(grid))
    assert load_grid(again).plan() == grid.plan()


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("model: [resnet18\ndataset: mnist\n", "line 2"),
        ("- a\n- b\n", "no mapping"),
        ("", "no mapping"),
        ("model: \x00", "not valid YAML"),
        ("epochs: 2001-99-99", "not valid YAML"),
        ("model: resnet18\nepochs: 1\nepochs: 2\n", "line 3: .*'epochs' stands here a second time"),
        ("exclude: [{model: a,\nmodel: b}]", "line 2: .*'model'"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, fragment: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=fragment) as caught:
        load_grid(path)
    assert str(path) in str(caught.value)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        load_grid(tmp_path / "absent.yaml")


def test_settings_are_yaml() -> None:
    settings = ["epochs=1", "model=[a, b]", "image-size=64", "deterministic=true", "x="]
    assert parse_settings(settings) == {
        "epochs": 1, "model": ["a", "b"], "image_size": 64, "deterministic": True, "x": None
    }  # fmt: skip


@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_setting_is_read_or_refused(settings: list[str]) -> None:
    with contextlib.suppress(SpecError):
        parse_settings(settings)


def test_a_grid_of_the_largest_size_is_taken() -> None:
    assert grid_spec({**BASE, "repeats": 100_000}).repeats == 100_000


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
values = {
    "model": st.sampled_from(["resnet18", "GoogLeNet", "small_models:small"]),
    "dataset": st.sampled_from(["mnist", "digits", "Synthetic"]),
    "hardware": st.sampled_from(["P100", "K80", "cpu:1", "CPU:2"]),
    "epochs": st.integers(1, 10_000),
    "batch_size": st.integers(1, 1_000_000) | st.just("largest"),
    "seed": st.integers(0, 2**31 - 1),
    "learning_rate": st.floats(min_value=1e-300, exclude_min=True, max_value=1e300),
    "momentum": st.floats(0, 1, exclude_max=True),
    "precision": st.just("fp32"),
    "execution": st.sampled_from(["eager", "best"]),
    "train_limit": st.integers(1, 1000) | st.none(),
    "deterministic": st.booleans(),
}


@st.composite
def grids(draw: st.DrawFn) -> GridSpec:
    fields = {"model", "dataset", "hardware"} | draw(st.sets(st.sampled_from(list(values))))
    lists = {name: draw(st.lists(values[name], min_size=1, max_size=2)) for name in fields}
    own = {"name": draw(names), "repeats": draw(st.integers(1, 3))}
    return grid_spec({**own, **lists, "exclude": {"model": "resnet34"}})


@given(grids())
def test_any_grid_is_the_same_after_it_was_written_and_read(grid: GridSpec) -> None:
    again = grid_spec(yaml.safe_load(grid_yaml(grid)))
    assert again == grid
    assert again.plan() == grid.plan()
