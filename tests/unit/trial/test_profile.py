"""Where a step's time goes: each phase to the nanosecond, on a device whose times are known."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scripted_device import ScriptedDevice

from raybench.record.noted import Missing, Noted
from raybench.record.schema import Phases
from raybench.trial.profile import PROFILE_STEPS, profile
from raybench.trial.setup import Setup

BATCH = 10
PHASES_MS = {
    "data_wait": 3.0, "transfer": 1.0, "preprocess": 2.0,
    "forward": 5.0, "backward": 9.0, "optimizer": 4.0,
}  # fmt: skip


class Scripted:
    """Pipeline and trainer in one, whose every part takes its time of ``PHASES_MS``."""

    def __init__(self, steps: int) -> None:
        self.device, self.steps = ScriptedDevice(), steps
        self.images, self.model = steps * BATCH, torch.nn.Identity()

    def batches(self, epoch: int) -> Iterator[int]:
        assert epoch == 3, "the first after the timed ones"
        for number in range(self.steps):
            # The first batch starts the pipeline, which is no step's wait.
            self.device.host_waits(PHASES_MS["data_wait"] if number else 500.0)
            yield BATCH

    def transfer(self, raw: int) -> int:
        self._launch("transfer")
        return raw

    def preprocess(self, raw: int) -> tuple[torch.Tensor, torch.Tensor]:
        self._launch("preprocess")
        return torch.zeros(raw), torch.zeros(raw)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self._launch("forward")
        return images.sum()

    def backward(self, loss: torch.Tensor) -> None:
        self._launch("backward")

    def update(self) -> None:
        self._launch("optimizer")

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        for phase in ("forward", "backward", "optimizer"):
            self._launch(phase)
        return images.sum()

    def _launch(self, phase: str) -> None:
        self.device.launch(PHASES_MS[phase], launch_ms=0)


@pytest.fixture
def scripted_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clocks of the pass read the scripted device's host time."""
    for name in ("EpochClock", "PhaseClock"):
        real = getattr(__import__("raybench.trial.profile", fromlist=[name]), name)
        monkeypatch.setattr(
            f"raybench.trial.profile.{name}",
            lambda timeline, real=real: real(timeline, timeline.now_ns),
        )


def setup(script: Scripted, execution: str = "eager") -> Setup:
    anything: Any = SimpleNamespace(
        spec=SimpleNamespace(epochs=2, execution=execution),
        machine=SimpleNamespace(timeline=script.device),
        trainer=script,
        train_input=script,
    )
    return anything


@pytest.mark.usefixtures("scripted_clocks")
def test_each_phase_takes_its_script() -> None:
    found = profile(setup(Scripted(steps=9)))
    assert isinstance(found.phases_ms, Noted)
    assert found.phases_ms.reasons == {}
    for name, times in found.phases_ms.part:
        assert (times.p25, times.p50, times.p75) == pytest.approx((PHASES_MS[name],) * 3)
    step_s = (5.0 + 9.0 + 4.0) / 1e3
    assert found.compute_only_images_per_s == pytest.approx(BATCH / step_s)


@pytest.mark.usefixtures("scripted_clocks")
def test_a_captured_step_runs_as_one_and_says_so() -> None:
    found = profile(setup(Scripted(steps=9), execution="cudagraph"))
    assert isinstance(found.phases_ms, Noted)
    part: Phases = found.phases_ms.part
    assert part.forward is part.backward is part.optimizer is None
    assert set(found.phases_ms.reasons) == {"forward", "backward", "optimizer"}
    assert part.data_wait is not None
    # The replay is on the device meanwhile, and counts for no phase of the next step.
    assert part.data_wait.p50 == pytest.approx(PHASES_MS["data_wait"])


@pytest.mark.usefixtures("scripted_clocks")
def test_a_long_epoch_is_not_profiled_to_its_end() -> None:
    script = Scripted(steps=1000)
    profile(setup(script))
    waited_ms = script.device.host_ns / 1e6 - 500
    passes_ms = (PROFILE_STEPS[1] + 1) * sum(PHASES_MS.values()) + PROFILE_STEPS[1] * 18
    assert waited_ms <= passes_ms + 100


def test_an_epoch_of_one_step_leaves_none_to_profile() -> None:
    found = profile(setup(Scripted(steps=1)))
    assert isinstance(found.phases_ms, Missing)
    assert "one step" in found.phases_ms.reason
    assert found.compute_only_images_per_s > 0
