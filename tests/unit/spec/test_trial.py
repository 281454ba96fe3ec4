from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.errors import SpecError
from raybench.spec.grid import grid_spec, grid_yaml, load_grid, parse_settings
from raybench.spec.identity import NOT_IDENTITY
from raybench.spec.trial import TrialSpec, trial_spec

BASE = {"model": "resnet18", "dataset": "mnist", "hardware": "P100"}


def test_defaults_are_the_papers_workload() -> None:
    spec = trial_spec({**BASE, "model": "googlenet"})
    assert (spec.epochs, spec.batch_size, spec.image_size) == (10, 10, 224)
    assert (spec.precision, spec.input_pipeline) == ("fp32", "dataloader")
    assert spec.aux_loss_weight == 0.3


def test_names_are_taken_in_any_case_and_kept_in_one() -> None:
    spec = trial_spec({"model": "GoogLeNet", "dataset": "CIFAR10", "hardware": "p100"})
    assert (spec.model, spec.dataset, spec.hardware) == ("googlenet", "cifar10", "P100")
    assert spec == trial_spec({"model": "googlenet", "dataset": "cifar10", "hardware": "P100"})


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"model": "resnet8"}, ["unknown model 'resnet8'", "'resnet18'"]),
        ({"model": "a b:c"}, ["not the name of a callable"]),
        ({"dataset": "minst"}, ["unknown dataset 'minst'", "'mnist'"]),
        ({"hardware": "P1000"}, ["unknown hardware", "'P100'"]),
        ({"hardware": "cpu:0"}, ["unknown hardware"]),
        ({"batchsize": 1}, ["no field 'batchsize'", "'batch_size'"]),
        ({"batch_size": 0}, ["batch_size is 0", "greater than or equal to 1"]),
        ({"epochs": -1}, ["epochs is -1"]),
        ({"epochs": "many"}, ["epochs is 'many'"]),
        ({"learning_rate": float("nan")}, ["learning_rate"]),
        ({"precision": "fp8"}, ["precision is 'fp8'", "'bf16'"]),
        ({"model": "vgg11", "image_size": 20}, ["vgg11 cannot take", "32"]),
        ({"model": "vit_b_16", "image_size": 100}, ["vit_b_16 cannot take", "image_size=112"]),
        ({"model": "inception_v3"}, ["inception_v3 cannot take", "299"]),
        ({"aux_loss_weight": 0.3}, ["no auxiliary heads"]),
        ({"precision": "bf16"}, ["'bf16' needs compute capability 8.0", "P100"]),
        ({"precision": "tf32"}, ["8.0"]),
        ({"hardware": "K80", "precision": "fp16"}, ["5.3"]),
        ({"execution": "compile"}, ["7.0"]),
        ({"execution": "cudagraph", "precision": "fp16"}, ["loss scaling"]),
        ({"hardware": "cpu:2", "precision": "tf32"}, ["does not have"]),
        ({"hardware": "cpu:2", "precision": "fp16"}, ["fp32 or bf16"]),
        ({"hardware": "cpu:2", "execution": "cudagraph"}, ["not a GPU"]),
        ({"hardware": "cpu:2", "num_workers": 2}, ["num_workers from 0 to 1"]),
        ({"hardware": "cpu:2", "cudnn_benchmark": True}, ["cpu:2 has no cuDNN"]),
        ({"cudnn_benchmark": True, "deterministic": True}, ["not deterministic"]),
        ({"input_pipeline": "device", "num_workers": 1}, ["has no workers"]),
        ({"train_limit": 60_001}, ["60,000 images to train on"]),
    ],
)
def test_what_cannot_work_is_refused_with_what_can(
    change: dict[str, Any], fragments: list[str]
) -> None:
    with pytest.raises(SpecError) as caught:
        trial_spec({**BASE, **change})
    for fragment in fragments:
        assert fragment in str(caught.value)


OTHER: dict[str, Any] = {
    "model": "resnet34",
    "dataset": "kmnist",
    "hardware": "A100",
    "epochs": 3,
    "batch_size": 3,
    "image_size": 64,
    "repeat": 1,
    "seed": 1,
    "optimizer": "adamw",
    "learning_rate": 0.5,
    "momentum": 0.5,
    "fused_optimizer": True,
    "cudnn_benchmark": True,
    "aux_loss_weight": 0.1,
    "precision": "bf16",
    "memory_format": "channels_last",
    "execution": "compile",
    "input_pipeline": "device",
    "num_workers": 1,
    "train_limit": 5,
    "eval_limit": 5,
    "warmup_steps": 1,
    "isolation": "node",
    "deterministic": True,
    "verify_hardware": False,
}


@pytest.mark.parametrize("field", list(TrialSpec.model_fields))
def test_every_field_changes_the_id_and_all_but_repeat_and_seed_the_identity(field: str) -> None:
    base = {**BASE, "hardware": "H100", "model": "googlenet"}
    change = {field: OTHER[field]}
    before, after = trial_spec(base), trial_spec({**base, **change})
    assert before.trial_id != after.trial_id
    assert (before.identity == after.identity) == (field in NOT_IDENTITY)


def test_best_and_largest_are_left_to_a_tune_up() -> None:
    spec = trial_spec({**BASE, "execution": "best", "batch_size": "largest"})
    assert not spec.is_decided
    settings = {"execution": "eager", "precision": "fp16", "batch_size": 64}
    decided = spec.decided(**settings)
    assert decided.is_decided
    assert decided.images_per_step == 64
    assert decided == trial_spec({**BASE, **settings})
    assert trial_spec(BASE).is_decided


@pytest.mark.parametrize(
    "field",
    [
        {"precision": "fp16"},
        {"memory_format": "channels_last"},
        {"fused_optimizer": True},
        {"cudnn_benchmark": True},
    ],
)
def test_best_chooses_itself(field: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="execution 'best' chooses it"):
        trial_spec({**BASE, "execution": "best", **field})


@pytest.mark.parametrize("batch_size", [0, -1, "smallest", 1.5, None])
def test_a_batch_size_is_a_number_or_the_largest(batch_size: Any) -> None:
    with pytest.raises(SpecError, match=r"batch_size is .*'largest'"):
        trial_spec({**BASE, "batch_size": batch_size})


def test_workers_default_by_hardware_and_pipeline() -> None:
    assert trial_spec(BASE).num_workers == 2
    assert trial_spec({**BASE, "hardware": "cpu:4"}).num_workers == 0
    assert trial_spec({**BASE, "input_pipeline": "device"}).num_workers == 0


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
        ({**BASE, "name": "../../etc"}, "name"),
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


@given(
    st.dictionaries(
        st.sampled_from([*TrialSpec.model_fields, "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
        | st.lists(st.integers(), max_size=2),
        max_size=6,
    )
)  # fmt: skip
def test_any_fields_make_a_spec_or_a_spec_error(fields: dict[str, Any]) -> None:
    try:
        spec = trial_spec({**BASE, **fields})
    except SpecError:
        return
    assert TrialSpec.model_validate_json(spec.model_dump_json()) == spec
