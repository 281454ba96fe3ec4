from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raybench.catalog.models import MODELS
from raybench.trial.measure.audit import StepAudit

HAS_COUNTER = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 1)


def flops(call: Callable[[], Any]) -> int:
    with StepAudit() as audit:
        call()
    assert audit.uncounted == set()
    return audit.flops


def train(model: nn.Module, images: Tensor) -> None:
    output = model(images)
    heads = [output] if isinstance(output, Tensor) else output
    sum(head.sum() for head in heads).backward()


@pytest.mark.parametrize(
    ("call", "products"),
    [
        (lambda: torch.ones(2, 3) @ torch.ones(3, 5), 2 * 3 * 5),
        (lambda: torch.addmm(torch.ones(5), torch.ones(2, 3), torch.ones(3, 5)), 2 * 3 * 5),
        (lambda: torch.bmm(torch.ones(4, 2, 3), torch.ones(4, 3, 5)), 4 * 2 * 3 * 5),
        (
            lambda: torch.baddbmm(
                torch.ones(4, 2, 5), torch.ones(4, 2, 3), torch.ones(4, 3, 5), beta=0, alpha=2
            ),
            4 * 2 * 3 * 5,
        ),
        (lambda: torch.ones(2, 3) * torch.ones(3), 0),  # no sum of products
    ],
)
def test_matrix_products(call: Callable[[], Tensor], products: int) -> None:
    assert flops(call) == 2 * products


@pytest.mark.parametrize(
    ("layer", "shape", "forward"),
    [
        # 9×9 pixels; 4×4 outputs of 8 channels, each of 3×3 pixels of 6 channels.
        (nn.Conv2d(6, 8, 3, stride=2), (2, 6, 9, 9), 2 * 8 * 4 * 4 * 6 * 9),
        # In 2 groups, an output sees half of the channels.
        (nn.Conv2d(6, 8, 3, stride=2, groups=2), (2, 6, 9, 9), 2 * 8 * 4 * 4 * 3 * 9),
        # Depthwise: one channel; padded, so 9×9 outputs.
        (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), (2, 6, 9, 9), 2 * 6 * 9 * 9 * 9),
        (nn.Conv1d(6, 8, 3, dilation=2), (2, 6, 9), 2 * 8 * 5 * 6 * 3),
        # Transposed: each input pixel goes to 3×3 outputs of 8 channels.
        (nn.ConvTranspose2d(6, 8, 3, stride=2), (2, 6, 9, 9), 2 * 6 * 9 * 9 * 8 * 9),
        (nn.ConvTranspose2d(6, 8, 3, groups=2), (2, 6, 9, 9), 2 * 6 * 9 * 9 * 4 * 9),
    ],
)
def test_convolutions(layer: nn.Module, shape: tuple[int, ...], forward: int) -> None:
    images = torch.ones(shape)
    assert flops(lambda: layer(images)) == 2 * forward
    assert flops(lambda: train(layer, images)) == 2 * 2 * forward  # the weights' gradient
    images.requires_grad_()
    assert flops(lambda: train(layer, images)) == 3 * 2 * forward  # and the images'


@pytest.mark.parametrize(
    ("model", "expected"), [("resnet18", 10_645_370_880), ("googlenet", 8_786_214_912)]
)
def test_a_training_step_takes_the_same_as_by_torchs_own_counter(model: str, expected: int) -> None:
    built = MODELS[model].built(num_classes=10, image_size=224)
    images = torch.zeros(1, 3, 224, 224)
    assert flops(lambda: train(built, images)) == expected
    if HAS_COUNTER:
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as theirs:
            train(built, images)
        assert theirs.get_total_flops() == expected


def test_a_depthwise_convolution_counts_once() -> None:
    # 300 million multiply-adds an image forward, as its paper (Sandler et al. 2018) says; the
    # gradients take twice that. torch's own counter gives 12.3e9.
    built = MODELS["mobilenet_v2"].built(num_classes=10, image_size=224)
    found = flops(lambda: train(built, torch.zeros(1, 3, 224, 224)))
    assert found == pytest.approx(3 * 2 * 300e6, rel=0.02)


def test_attention_counts_by_torchs_own_formulas() -> None:
    # torch 2.0 does it by matrix products; later ones fuse it, and compute the scores once more
    # on the way back: 0.02 % of all in this model, with its 5 tokens.
    built = MODELS["vit_b_32"].built(num_classes=10, image_size=64)
    found = flops(lambda: train(built, torch.zeros(1, 3, 64, 64)))
    assert found == pytest.approx(2_588_599_296, rel=1e-3)
