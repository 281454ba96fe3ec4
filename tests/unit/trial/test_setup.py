"""What is known of the machine before a trial, and that nothing of its set-up outlives it."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy as np
import pytest

from raybench.catalog.datasets import load_dataset
from raybench.errors import HardwareError
from raybench.settings import workspace
from raybench.spec.trial import ResolvedSpec, trial_spec
from raybench.system.variables import INTERFERING
from raybench.trial.setup import prepare_machine, set_up

# Python 3.12 and newer warn of any fork beside another thread; torch's pools are such threads.
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _no_interference(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in INTERFERING:
        monkeypatch.delenv(name, raising=False)


def spec(**fields: Any) -> ResolvedSpec:
    return trial_spec({
        "model": "small_models:small", "dataset": "digits", "hardware": "cpu:1", "epochs": 1,
        "image_size": 16, "train_limit": 40, "eval_limit": 20, **fields,
    }).resolved()  # fmt: skip


def test_a_machine_that_keeps_the_promise_has_no_warnings() -> None:
    machine = prepare_machine(spec())
    assert machine.device.type == "cpu"
    assert machine.hardware.part.verified
    assert machine.environment.part.threads == 1
    assert machine.warnings == ()


def test_variables_that_interfere_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    (warning,) = prepare_machine(spec()).warnings
    assert warning.kind == "interfering_variable"
    assert warning.message.startswith("CUDA_LAUNCH_BLOCKING=1 is set")


def test_hardware_that_is_not_verified_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYBENCH_SIMULATED_GPU", "1")
    (warning,) = prepare_machine(spec(hardware="K80")).warnings
    assert warning.kind == "unverified_hardware"
    assert "K80 was promised, simulated on" in warning.message


def test_a_promise_that_cannot_be_kept_ends_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    monkeypatch.setattr("raybench.system.verify.allowed_cpus", lambda: 64)
    with pytest.raises(HardwareError, match="torch uses 1 thread"):
        prepare_machine(spec(hardware="cpu:2"))


def test_the_images_are_those_after_the_limits() -> None:
    wanted = spec()
    images = load_dataset("digits", workspace(), train_limit=40, eval_limit=20)
    with set_up(wanted, workspace(), prepare_machine(wanted)) as setup:
        assert (setup.dataset.train_images, setup.dataset.eval_images) == (40, 20)
        assert setup.dataset.fingerprint == images.fingerprint
        assert setup.chance == np.bincount(images.eval.labels).max() / 20
        assert setup.seconds > 0


@FORKS
def test_worker_processes_end_with_the_set_up() -> None:
    wanted = spec(hardware="cpu:2", num_workers=1)

    def stumble() -> None:
        with set_up(wanted, workspace(), prepare_machine(wanted)) as setup:
            next(iter(setup.train_input.batches(1)))
            assert len(multiprocessing.active_children()) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert multiprocessing.active_children() == []
