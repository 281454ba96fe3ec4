from __future__ import annotations

from typing import Any

import pytest

from raybench.errors import SpecError
from raybench.spec.trial import trial_spec

BASE = {"model": "resnet18", "dataset": "mnist", "hardware": "P100"}


@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ({"model": "resnet8"}, ["unknown model 'resnet8'", "'resnet18'"]),
        ({"model": "a b:c"}, ["not the name of a callable"]),
        ({"dataset": "minst"}, ["unknown dataset 'minst'", "'mnist'"]),
        ({"hardware": "P1000"}, ["unknown hardware", "'P100'"]),
        ({"hardware": "cpu:0"}, ["says no number of threads"]),
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
