"""Each way to compute a step faster computes the same; see tests/current for compile and fp16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from training_runs import BATCH, Run, assert_trained_alike, trained

from raybench.trial.trainer import Trainer


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
