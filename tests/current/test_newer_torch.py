"""What torch of today can do on a CPU, and torch 2.0.1 not: compile on Python 3.11, fuse, fp16."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from training_runs import CPU, Run, assert_trained_alike, trained

from raybench.spec.trial import trial_spec
from raybench.trial.trainer import Trainer

IMAGES = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8)


@pytest.fixture(scope="module")
def plain() -> Run:
    return trained()


@pytest.mark.compiler
def test_the_compiled_model_trains_alike(
    plain: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real compiler, from an empty cache: training, the smaller last batch, evaluation."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    ours = trained(execution="compile")
    assert list(tmp_path.rglob("*.so")), "kernels were compiled"
    # The same fp32 products, summed in another order.
    assert_trained_alike(ours, plain, 1e-5)


@pytest.mark.parametrize(
    "optimizer", [{"optimizer": "sgd"}, {"optimizer": "adamw", "learning_rate": 0.01}]
)
def test_a_fused_optimizer_trains_alike(optimizer: dict[str, Any]) -> None:
    ours = trained(fused_optimizer=True, **optimizer)
    assert ours.trainer.optimizer.defaults["fused"]
    # The same fp32 update, with its few terms in another order.
    assert_trained_alike(ours, trained(**optimizer), 1e-5)


def set_scale(trainer: Trainer, scale: float) -> None:
    trainer._scaler.load_state_dict({**trainer._scaler.state_dict(), "scale": scale})


def fp16_trainer() -> Trainer:
    spec = trial_spec(
        {"model": "small_models:small", "dataset": "digits", "hardware": "V100",
         "precision": "fp16"}
    ).resolved()  # fmt: skip
    trainer = Trainer(spec, 10, CPU)
    trainer.model.train()
    return trainer


def test_fp16_trains_alike(plain: Run) -> None:
    """From a scale on at which no gradient overflows, so that no step is left out."""
    ours = trained(partial(set_scale, scale=2.0**8), hardware="V100", precision="fp16")
    # Rounded to 11 bits, so by 2^-12 at most and either way: a few such a loss.
    assert_trained_alike(ours, plain, 1e-3)


def test_fp16_learns_as_well_from_the_usual_scale_on(plain: Run) -> None:
    """First steps that overflow are left out, so the losses differ; what is learned does not."""
    ours = trained(hardware="V100", precision="fp16")
    assert abs(ours.accuracy - plain.accuracy) <= plain.noise


def test_gradients_are_those_of_the_loss_before_it_was_scaled() -> None:
    weights = []
    for scale in (1.0, 2.0**8):
        trainer = fp16_trainer()
        set_scale(trainer, scale)
        trainer.step(IMAGES, LABELS)
        weights.append(trainer.model.head.weight.detach().clone())
    initial = fp16_trainer().model.head.weight
    change, scaled_change = (after - initial for after in weights)
    assert change.abs().max() > 0
    # A scale by a power of two rounds nothing; without one, small gradients lose digits.
    assert torch.allclose(change, scaled_change, rtol=1e-2, atol=1e-6)


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_halved() -> None:
    trainer = fp16_trainer()
    initial = copy.deepcopy(trainer.model.state_dict())
    set_scale(trainer, 2.0**30)
    trainer.step(IMAGES, LABELS)
    after = trainer.model.state_dict()
    assert all(torch.equal(after[name], initial[name]) for name in initial)
    assert trainer._scaler.get_scale() == 2.0**29
    trainer.reset()
    assert trainer._scaler.get_scale() == 2.0**16  # torch's own first scale
