from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from training_runs import BATCH, Run, assert_trained_alike, trained

from raybench.errors import SpecError
from raybench.spec.trial import trial_spec
from raybench.trial.trainer import Trainer, set_switches

CPU = torch.device("cpu")
IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(8)


def trainer(model: str = "small_models:small", **fields: Any) -> Trainer:
    spec = trial_spec(
        {"model": model, "dataset": "digits", "hardware": "cpu:1", **fields}
    ).resolved()
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
                             "precision": "tf32"}).resolved())  # fmt: skip
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


# -- each way to compute a step faster computes the same; tests/current has compile and fp16 ------


@pytest.fixture(scope="module")
def plain() -> Run:
    return trained()


@pytest.mark.parametrize(
    ("option", "tolerance"),
    [
        # The same fp32 products (24 bits of significand), summed in another order.
        ({"memory_format": "channels_last"}, 1e-5),
        # Rounded to 8 bits, so by 2^-9 at most and either way: a few such a loss.
        ({"precision": "bf16"}, 1e-2),
        ({"precision": "bf16", "memory_format": "channels_last"}, 1e-2),
        # The dataloader resizes with PIL, whose pixels differ by one step of 255 at most.
        ({"input_pipeline": "dataloader"}, 1e-2),
    ],
)
def test_an_option_trains_alike(option: dict[str, Any], tolerance: float, plain: Run) -> None:
    assert_trained_alike(trained(**option), plain, tolerance)


def test_channels_last_is_the_layout_of_the_weights() -> None:
    weight = trained(memory_format="channels_last").trainer.model.features.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


class ScriptedGraph:
    """Stands for ``torch.cuda.CUDAGraph``, so that what surrounds a captured step is tested.

    It runs the captured step again, on the tensors that were captured. It knows nothing of what
    only a GPU shows: streams, memory pools, and whether a step can be captured at all.
    """

    captured: ClassVar[list[ScriptedGraph]] = []

    def __init__(self) -> None:
        self.replays = 0
        self.step: Any = None

    @contextmanager
    def capture(self) -> Iterator[None]:
        ScriptedGraph.captured.append(self)
        eager_step = Trainer.eager_step

        def captured_step(trainer: Trainer, images: Tensor, labels: Tensor) -> Tensor:
            loss = eager_step(trainer, images, labels)
            self.step = lambda: loss.copy_(eager_step(trainer, images, labels))
            return loss

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "eager_step", captured_step)
            yield

    def replay(self) -> None:
        self.replays += 1
        self.step()


@pytest.fixture
def scripted_graphs(monkeypatch: pytest.MonkeyPatch) -> list[ScriptedGraph]:
    class Stream:
        def __init__(self, device: torch.device) -> None: ...

        def wait_stream(self, other: Stream) -> None: ...

    monkeypatch.setattr(ScriptedGraph, "captured", [])
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", ScriptedGraph)
    monkeypatch.setattr(torch.cuda, "graph", ScriptedGraph.capture)
    return ScriptedGraph.captured


def test_full_batches_are_replayed_and_the_smaller_last_one_is_not(
    scripted_graphs: list[ScriptedGraph], plain: Run
) -> None:
    ours = trained(hardware="A100", execution="cudagraph")
    (graph,) = scripted_graphs
    assert graph.replays == 4 * (1437 // BATCH)
    # On the same device the same kernels: the copies into the graph's own tensors, the reset in
    # place, and the last batch that runs without it leave the figures as they are.
    assert (ours.losses, ours.accuracy) == (plain.losses, plain.accuracy)
