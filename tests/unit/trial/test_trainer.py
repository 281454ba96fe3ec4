from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from raybench.errors import SpecError
from raybench.spec.trial import trial_spec
from raybench.trial.trainer import Trainer, set_switches

CPU = torch.device("cpu")
IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8)


def trainer(model: str = "small_models:small", **fields: Any) -> Trainer:
    spec = trial_spec({"model": model, "dataset": "digits", "hardware": "cpu:1", **fields})
    set_switches(spec)
    made = Trainer(spec, 10, CPU)
    made.model.train()
    return made


def losses(made: Trainer, steps: int = 8) -> list[float]:
    return [made.step(IMAGES, LABELS).item() for _ in range(steps)]


def test_fp32_means_fp32() -> None:
    trainer(precision="fp32")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_tf32_is_switched_on_when_it_is_asked_for_and_off_again() -> None:
    set_switches(trial_spec({"model": "resnet18", "dataset": "mnist", "hardware": "A100",
                             "precision": "tf32"}))  # fmt: skip
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    trainer()
    assert not torch.backends.cudnn.allow_tf32


def test_threads_and_workers_share_what_the_trial_was_given() -> None:
    trainer(hardware="cpu:3", num_workers=2)
    assert torch.get_num_threads() == 1
    trainer(hardware="cpu:2")
    assert torch.get_num_threads() == 2


def test_the_seed_and_the_repeat_decide_the_initial_weights() -> None:
    def weights(**fields: Any) -> torch.Tensor:
        return next(trainer(**fields).model.parameters())

    assert torch.equal(weights(seed=3), weights(seed=3))
    assert torch.equal(weights(seed=3, repeat=1), weights(seed=4))
    assert not torch.equal(weights(seed=3), weights(seed=4))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_reset_undoes_the_warm_up(optimizer: str) -> None:
    made = trainer(optimizer=optimizer, learning_rate=0.01)
    fresh = losses(made)
    made.reset()
    assert losses(made) == fresh


def test_training_is_the_papers_sgd_with_momentum() -> None:
    made = trainer(learning_rate=0.05, momentum=0.9)
    reference = trainer(learning_rate=0.05, momentum=0.9).model
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.9)
    expected = []
    for _ in range(8):
        loss = functional.cross_entropy(reference(IMAGES), LABELS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert losses(made) == pytest.approx(expected, rel=1e-6)


def test_momentum_is_adamws_first_beta() -> None:
    made = trainer(optimizer="adamw", momentum=0.7)
    assert made.optimizer.param_groups[0]["betas"] == (0.7, 0.999)


def test_auxiliary_heads_count_with_their_weight() -> None:
    made = trainer("small_models:with_heads", aux_loss_weight=0.25)
    logits, first, second = made.model(IMAGES)
    expected = functional.cross_entropy(logits, LABELS) + 0.25 * (
        functional.cross_entropy(first, LABELS) + functional.cross_entropy(second, LABELS)
    )
    assert made.forward(IMAGES, LABELS).item() == pytest.approx(expected.item())


def test_googlenets_heads_are_part_of_its_loss() -> None:
    with_heads = trainer("googlenet", image_size=32)
    without = trainer("googlenet", image_size=32, aux_loss_weight=0)
    assert (with_heads.spec.aux_loss_weight, without.spec.aux_loss_weight) == (0.3, 0)
    # The heads' cross-entropy of an untrained model is about ln 10 each.
    difference = with_heads.forward(IMAGES, LABELS) - without.forward(IMAGES, LABELS)
    assert 0.3 * 2 * 1.5 < difference.item() < 0.3 * 2 * 4


@pytest.mark.parametrize(
    ("model", "fields", "fragment"),
    [
        ("small_models:with_heads", {}, "returned 2 auxiliary head"),
        ("small_models:small", {"aux_loss_weight": 0.3}, "returned no auxiliary"),
    ],
)
def test_heads_that_the_spec_does_not_speak_of_are_refused(
    model: str, fields: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(SpecError, match=fragment):
        trainer(model, **fields).step(IMAGES, LABELS)


def test_channels_last_computes_the_same() -> None:
    made = trainer("resnet18", memory_format="channels_last", learning_rate=0.001)
    assert made.model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    plain = losses(trainer("resnet18", learning_rate=0.001), 3)
    assert losses(made, 3) == pytest.approx(plain, rel=1e-3)


def test_evaluation_counts_right_answers_and_sums_losses() -> None:
    made = trainer()
    made.model.eval()
    loss, correct = made.evaluate(IMAGES, LABELS)
    logits = made.model(IMAGES)
    expected = functional.cross_entropy(logits, LABELS, reduction="sum")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert int(correct) == int((logits.argmax(1) == LABELS).sum())


def test_compile_is_what_then_trains_and_evaluates(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def compiled(model: torch.nn.Module) -> Any:
        def call(images: torch.Tensor) -> Any:
            calls.append(model.training)
            return model(images)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    made = trainer(execution="compile")
    made.accelerate(IMAGES, LABELS)
    made.step(IMAGES, LABELS)
    made.model.eval()
    made.evaluate(IMAGES, LABELS)
    assert calls == [True, False]
