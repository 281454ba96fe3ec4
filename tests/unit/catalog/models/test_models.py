from __future__ import annotations

import pytest
import torch
import torchvision

from raybench.catalog.models import (
    MODELS,
    build_model,
    canonical_model,
    model_row,
    model_title,
    training_flops,
)
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
        model = build_model(name, num_classes=10, image_size=224).train()
        images, labels = torch.rand(2, 3, 224, 224), torch.zeros(2, dtype=torch.int64)
    with StepAudit() as audit:
        output = model(images)
        heads = [output] if isinstance(output, torch.Tensor) else [*output]
        sum(torch.nn.functional.cross_entropy(logits, labels) for logits in heads).backward()
    assert training_flops(name, 224) == pytest.approx(audit.flops / 2, rel=1e-3)
    assert training_flops(name, 112) == training_flops(name, 224) / 4


def test_every_model_has_its_flops() -> None:
    assert all(training_flops(name, 224) > 1e8 for name in MODELS)
    assert training_flops("my.own:model", 224) is None


@pytest.mark.parametrize(
    "name", ["resnet18", "googlenet", "alexnet", "squeezenet1_1", "shufflenet_v2_x0_5", "vgg11"]
)
def test_a_model_takes_its_smallest_image(name: str) -> None:
    size = model_row(name).min_image_size
    with WITHOUT_ARITHMETIC:
        model = build_model(name, num_classes=10, image_size=size).train()
        output = model(torch.rand(2, 3, size, size))
    logits = output if isinstance(output, torch.Tensor) else output[0]
    assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", "vgg11"])
def test_a_model_cannot_take_less_than_that(name: str) -> None:
    size = model_row(name).min_image_size - 1
    with WITHOUT_ARITHMETIC:
        model = build_model(name, num_classes=10, image_size=size)
        with pytest.raises(RuntimeError, match="output size"):
            model(torch.rand(2, 3, size, size))


def test_a_model_that_has_to_know_the_image_size_is_told() -> None:
    with WITHOUT_ARITHMETIC:
        model = build_model("vit_b_32", num_classes=10, image_size=64).eval()
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 10)


def test_models_with_auxiliary_heads_return_them_in_training() -> None:
    with WITHOUT_ARITHMETIC:
        model = build_model("googlenet", num_classes=10, image_size=32).train()
        assert len(model(torch.rand(2, 3, 32, 32))) == 3


def test_a_model_of_ones_own() -> None:
    model = build_model("small_models:small", num_classes=7, image_size=16)
    assert model(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    assert canonical_model("small_models:small") == "small_models:small"
    assert model_title("small_models:small") == "small_models:small"


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("no_such_module:build", "cannot import no_such_module"),
        ("small_models:absent", "has no 'absent'"),
        ("small_models:no_module", "returned int"),
    ],
)
def test_a_model_of_ones_own_that_is_none(name: str, fragment: str) -> None:
    with pytest.raises(SpecError, match=fragment):
        build_model(name, num_classes=10, image_size=16)
