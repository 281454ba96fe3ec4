"""What an autotune has found is kept, and found again, in old experiments too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from raybench.record.autotune import Autotune, Candidate, StepSettings
from raybench.record.store import Experiment
from raybench.spec.trial import TrialSpec, trial_spec
from raybench.trial.autotune.kept import forget, keep, known


def spec(**fields: Any) -> TrialSpec:
    return trial_spec(
        {"model": "resnet18", "dataset": "mnist", "hardware": "P100", "execution": "best", **fields}
    )


SPEC = spec()
SETTINGS = StepSettings(
    precision="fp32", memory_format="channels_last", execution="eager",
    fused_optimizer=False, cudnn_benchmark=False, batch_size=10,
)  # fmt: skip
FOUND = Autotune(
    chosen=SETTINGS, reason="the fastest", time_s=60.0, hostname="c0001",
    candidates=(Candidate(settings=SETTINGS, images_per_s=450.0, first_loss=2.3, loss_fall=0.4,
                          outcome="chosen"),),
)  # fmt: skip

OLD_NAME = "resnet18-mnist-P100-e7b7b257b0-ed23.json"
"""As raybench 0.1.0 before schema version 3 named it, with torch 2.0.1."""


def old_file(experiment: Experiment) -> Path:
    """Write what was found as raybench before schema version 3 did, and return the file."""
    content = FOUND.model_dump(mode="json")
    content["attempts"] = content.pop("candidates")
    content["attempts"][0]["outcome"] = "does not fit"  # a value of then keeps its spelling
    path = experiment.folder / "tune-up" / OLD_NAME
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content, indent=1))
    return path


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setattr(torch, "__version__", "2.0.1")
    monkeypatch.setattr("raybench.__version__", "0.1.0")
    return Experiment(tmp_path / "unit")


def test_what_is_kept_is_found_until_it_is_forgotten(experiment: Experiment) -> None:
    assert known(experiment, SPEC) is None
    assert keep(experiment, SPEC, FOUND) == FOUND
    assert known(experiment, spec(repeat=3, seed=7)) == FOUND
    assert [path.parent.name for path in experiment.folder.glob("*/*.json")] == ["autotune"]
    forget(experiment, SPEC)
    assert known(experiment, SPEC) is None


def test_the_first_that_is_kept_counts(experiment: Experiment) -> None:
    keep(experiment, SPEC, FOUND)
    later = FOUND.model_copy(update={"time_s": 1.0})
    assert keep(experiment, SPEC, later) == FOUND


def test_another_torch_or_another_spec_finds_anew(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(experiment, SPEC, FOUND)
    assert known(experiment, spec(learning_rate=0.5)) is None
    monkeypatch.setattr(torch, "__version__", "2.0.2")
    assert known(experiment, SPEC) is None


def test_what_an_old_experiment_has_found_is_still_found(experiment: Experiment) -> None:
    path = old_file(experiment)
    found = known(experiment, SPEC)
    assert found is not None
    assert found.chosen == SETTINGS
    assert [candidate.outcome for candidate in found.candidates] == ["does not fit"]
    forget(experiment, SPEC)
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"chosen": 1}', "null"])
def test_a_damaged_file_does_not_count_and_goes(experiment: Experiment, content: str) -> None:
    path = old_file(experiment)
    path.write_text(content)
    assert known(experiment, SPEC) is None
    assert not path.exists()
