"""The warm-up runs every shape that is timed, counts a step's operations, and is undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import torch

from raybench.settings import workspace
from raybench.spec.trial import trial_spec
from raybench.trial.measure.audit import StepAudit
from raybench.trial.setup import Setup, prepare_machine, set_up
from raybench.trial.trainer import Trainer
from raybench.trial.warmup import _model_facts, warm_up


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note what steps of which size are run."""
    found: list[tuple[str, int]] = []
    for name in ("eager_step", "step", "evaluate"):
        real = getattr(Trainer, name)

        def noting(trainer: Trainer, images: Any, labels: Any, name: str = name, real: Any = real):
            found.append((name, len(images)))
            return real(trainer, images, labels)

        monkeypatch.setattr(Trainer, name, noting)
    return found


def setup_of(stack: ExitStack, **fields: Any) -> Setup:
    spec = trial_spec({
        "model": "small_models:small", "dataset": "synthetic", "hardware": "cpu:1", "epochs": 1,
        "batch_size": 16, "image_size": 16, "train_limit": 40, "eval_limit": 19,
        "warmup_steps": 3, "input_pipeline": "device", **fields,
    }).resolved()  # fmt: skip
    return stack.enter_context(set_up(spec, workspace(), prepare_machine(spec)))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_every_shape_of_the_timed_epochs_is_run(
    stack: ExitStack, sizes: list[tuple[str, int]]
) -> None:
    warm_up(setup_of(stack))
    # The audited step; three warm-up steps, of which the second ends the epoch; the last batch's 8.
    steps = [size for name, size in sizes if name == "step"]
    assert steps == [16, 8, 16, 8]
    assert [size for name, size in sizes if name == "evaluate"] == [16, 3]
    assert sizes[0] == ("eager_step", 16)


def test_the_weights_are_the_initial_ones_again(stack: ExitStack) -> None:
    setup = setup_of(stack)
    before = {name: value.clone() for name, value in setup.trainer.model.state_dict().items()}
    warm_up(setup)
    after = setup.trainer.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_operations_are_of_one_image(stack: ExitStack) -> None:
    of_16 = warm_up(setup_of(stack)).model
    of_10 = warm_up(setup_of(stack, batch_size=10)).model
    assert of_16.part.flops_per_image == of_10.part.flops_per_image
    assert of_16.reasons == {"aux_loss_weight": "the model has no auxiliary heads"}


def test_what_cannot_be_counted_has_its_reason(stack: ExitStack) -> None:
    setup = setup_of(stack, model="small_models:with_heads", aux_loss_weight=0.3)
    audit = StepAudit()
    audit.uncounted.add("aten::_new_attention")
    found = _model_facts(setup, audit, images=16)
    assert found.part.flops_per_image is None
    assert "counts what aten::_new_attention does" in found.reasons["flops_per_image"]
    assert found.part.aux_loss_weight == 0.3
