from __future__ import annotations

import pytest
import torch
import torchvision

from raybench.catalog.models import MODELS
from raybench.catalog.models.base import Model
from raybench.errors import SpecError
from raybench.trial.measure.audit import StepAudit

WITHOUT_ARITHMETIC = torch.device("meta")
"""Shapes are checked as everywhere, but no weight is drawn and nothing is computed."""


def test_the_table_holds_every_classification_model_of_torchvision() -> None:
    available = set(torchvision.models.list_models(module=torchvision.models))
    assert available <= set(MODELS)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "mobilenet_v2", "vit_b_32"])
def test_the_flops_that_plans_estimate_with_are_those_that_a_trial_counts(name: str) -> None:
    with WITHOUT_ARITHMETIC:
        model = MODELS[name].built(num_classes=10, image_size=224).train()
        images, labels = torch.rand(2, 3, 224, 224), torch.zeros(2, dtype=torch.int64)
    with StepAudit() as audit:
        output = model(images)
        heads = [output] if isinstance(output, torch.Tensor) else [*output]
        sum(torch.nn.functional.cross_entropy(logits, labels) for logits in heads).backward()
    assert MODELS[name].training_flops(224) == pytest.approx(audit.flops / 2, rel=1e-3)
    assert MODELS[name].training_flops(112) == MODELS[name].training_flops(224) / 4


def test_a_model_of_ones_own_has_no_flops() -> None:
    assert MODELS["my.own:model"].training_flops(224) is None


@pytest.mark.parametrize(
    "name", ["resnet18", "googlenet", "alexnet", "squeezenet1_1", "shufflenet_v2_x0_5", "vgg11"]
)
def test_a_model_takes_its_smallest_image(name: str) -> None:
    size = MODELS[name].min_image_size
    with WITHOUT_ARITHMETIC:
        model = MODELS[name].built(num_classes=10, image_size=size).train()
        output = model(torch.rand(2, 3, size, size))
    logits = output if isinstance(output, torch.Tensor) else output[0]
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "vgg11"])
def test_a_model_cannot_take_less_than_that(name: str) -> None:
    size = MODELS[name].min_image_size - 1
    with WITHOUT_ARITHMETIC:
        model = MODELS[name].built(num_classes=10, image_size=size)
        with pytest.raises(RuntimeError, match="output size"):
            model(torch.rand(2, 3, size, size))


def test_a_model_that_has_to_know_the_image_size_is_told() -> None:
    with WITHOUT_ARITHMETIC:
        model = MODELS["vit_b_32"].built(num_classes=10, image_size=64).eval()
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 10)


def test_models_with_auxiliary_heads_return_them_in_training() -> None:
    with WITHOUT_ARITHMETIC:
        model = MODELS["googlenet"].built(num_classes=10, image_size=32).train()
        assert len(model(torch.rand(2, 3, 32, 32))) == 3


def test_a_model_of_ones_own() -> None:
    model = MODELS["small_models:small"].built(num_classes=7, image_size=16)
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    assert MODELS.canonical("small_models:small") == "small_models:small"
    assert MODELS.title("small_models:small") == "small_models:small"


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("no_such_module:build", "cannot import no_such_module"),
        ("small_models:absent", "has no callable 'absent'"),
        ("small_models:no_module", "returned int"),
    ],
)
def test_a_model_of_ones_own_that_is_none(name: str, fragment: str) -> None:
    with pytest.raises(SpecError, match=fragment):
        MODELS[name].built(num_classes=10, image_size=16)


def test_the_import_of_a_callable_is_tried_without_building_it(tmp_path, monkeypatch) -> None:
    MODELS["resnet18"].builder()
    MODELS["small_models:no_module"].builder()
    (tmp_path / "broken_models.py").write_text("import math\nwidth = math.no_such_function(3)\n")
    (tmp_path / "unfinished_models.py").write_text("import math\n\ndef build(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=r"no_such_function.*broken_models\.py, line 2"):
        MODELS["broken_models:build"].builder()
    with pytest.raises(SpecError, match=r"SyntaxError.*unfinished_models\.py, line 3"):
        MODELS["unfinished_models:build"].builder()


def test_a_builder_is_told_the_image_size_if_it_asks() -> None:
    asked = {}

    def build(num_classes: int, image_size: int) -> torch.nn.Module:
        asked.update(num_classes=num_classes, image_size=image_size)
        return torch.nn.Identity()

    Model(name="own", title="Own", build=build).built(num_classes=3, image_size=17)
    assert asked == {"num_classes": 3, "image_size": 17}


@pytest.mark.parametrize("name", ["Own", "my model", "a/b", "", "a:b"])
def test_a_name_that_would_not_do_in_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="cannot be a name"):
        Model(name=name, title="Own", build=torch.nn.Identity)


@pytest.mark.parametrize("name", MODELS)
def test_every_row(name: str) -> None:
    model = MODELS[name]
    assert MODELS.canonical(name.upper()) == model.name == name
    assert MODELS.title(name) == model.title
    assert MODELS.origin(name) == "raybench"
    assert model.training_flops(224) > 1e8
    size = model.smallest_above(1)
    assert size >= model.min_image_size
    assert size % model.image_size_multiple == 0
    assert model.smallest_above(size) == size
    assert not model.custom


def test_titles_and_weights_are_those_that_results_were_published_with() -> None:
    assert (MODELS.title("resnet18"), MODELS.title("googlenet")) == ("ResNet-18", "GoogLeNet")
    weights = {name: m.aux_loss_weight for name, m in MODELS.items() if m.aux_loss_weight}
    assert weights == {"googlenet": 0.3, "inception_v3": 0.4}
    assert list(MODELS)[:3] == ["googlenet", "resnet18", "alexnet"]


def test_a_callable_comes_from_its_module() -> None:
    assert MODELS.origin("my_models.small:build") == "my_models.small"
