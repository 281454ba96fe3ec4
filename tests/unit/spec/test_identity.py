from __future__ import annotations

import random
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from raybench.spec import identity
from raybench.spec.fields import names_of
from raybench.spec.identity import Role, Since, role_of, since_of, with_baselines
from raybench.spec.trial import TrialSpec, trial_spec

BASE = {"model": "resnet18", "dataset": "mnist", "hardware": "P100"}


VERSION_2: dict[str, Any] = {
    "model": "resnet34",
    "dataset": "kmnist",
    "hardware": "A100",
    "epochs": 3,
    "batch_size": 3,
    "image_size": 64,
    "repeat": 1,
    "seed": 1,
    "optimizer": "adamw",
    "learning_rate": 0.5,
    "momentum": 0.5,
    "fused_optimizer": True,
    "cudnn_benchmark": True,
    "aux_loss_weight": 0.1,
    "precision": "bf16",
    "memory_format": "channels_last",
    "execution": "compile",
    "input_pipeline": "device",
    "num_workers": 1,
    "train_limit": 5,
    "eval_limit": 5,
    "warmup_steps": 1,
    "isolation": "node",
    "deterministic": True,
    "verify_hardware": False,
}
"""The 25 fields of record version 2, each with another value than that of ``BASE``."""


class LaterSpec(TrialSpec):
    """A spec of later: it has another field, whose default is no longer the baseline."""

    gpus: Annotated[int, Field(ge=1), Since(3, baseline=1)] = 2


@pytest.mark.parametrize("field", list(VERSION_2))
def test_every_field_changes_the_id_and_all_but_repeat_and_seed_the_configuration(
    field: str,
) -> None:
    base = {**BASE, "hardware": "H100", "model": "googlenet"}
    before, after = trial_spec(base), trial_spec({**base, field: VERSION_2[field]})
    assert before.trial_id != after.trial_id
    same = before.configuration_id == after.configuration_id
    assert same == (field in ("repeat", "seed"))


def test_every_field_is_of_version_2_or_says_since_when_it_is_there() -> None:
    later = {name for name, field in TrialSpec.model_fields.items() if since_of(field)}
    assert set(TrialSpec.model_fields) - later == set(VERSION_2)


def test_a_default_that_changes_later_changes_no_id() -> None:
    spec = TrialSpec(**BASE)
    assert spec.trial_id == "resnet18-mnist-P100-r0-0099b30600"
    assert LaterSpec(**BASE, gpus=1).trial_id == spec.trial_id
    assert LaterSpec(**BASE, gpus=1).configuration_id == spec.configuration_id
    assert LaterSpec(**BASE, gpus=4).trial_id != spec.trial_id
    assert LaterSpec(**BASE).trial_id == LaterSpec(**BASE, gpus=2).trial_id != spec.trial_id


def test_a_spec_from_before_a_field_has_its_baseline_and_not_its_default() -> None:
    fields = LaterSpec.model_fields
    assert LaterSpec(**with_baselines(BASE, fields)).gpus == 1
    assert LaterSpec(**with_baselines({**BASE, "gpus": 4}, fields)).gpus == 4


def test_a_renamed_field_is_hashed_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Renamed(TrialSpec):
        devices: Annotated[int, Since(3, baseline=1)] = 1

    before = LaterSpec(**BASE, gpus=4)
    monkeypatch.setattr(identity, "HASHED_AS", {"devices": "gpus"})
    assert Renamed(**BASE, devices=4).trial_id == before.trial_id


def test_a_retired_field_stays_in_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = LaterSpec(**BASE, gpus=2).trial_id
    monkeypatch.setattr(identity, "RETIRED", {"gpus": 2})
    assert TrialSpec(**BASE).trial_id == before


def test_a_fault_in_the_measurement_makes_all_ids_new(monkeypatch: pytest.MonkeyPatch) -> None:
    before = TrialSpec(**BASE)
    ids = before.trial_id, before.configuration_id
    monkeypatch.setattr(identity, "MEASUREMENT", 2)
    after = TrialSpec(**BASE)
    assert after.trial_id != ids[0]
    assert after.configuration_id != ids[1]


@given(st.sets(st.sampled_from(list(VERSION_2))), st.randoms())
def test_an_id_does_not_depend_on_order_or_on_a_default_being_named(
    named: set[str], order: random.Random
) -> None:
    plain = TrialSpec(**BASE)
    given_fields = [*BASE.items(), *((name, getattr(plain, name)) for name in named - set(BASE))]
    order.shuffle(given_fields)
    assert TrialSpec(**dict(given_fields)).trial_id == plain.trial_id


def test_roles() -> None:
    assert names_of(Role.CELL) == ("model", "dataset", "hardware")
    assert names_of(Role.REPLICATE) == ("repeat", "seed")
    assert role_of(TrialSpec.model_fields["precision"]) is Role.FACTOR
    assert role_of(LaterSpec.model_fields["gpus"]) is Role.FACTOR
