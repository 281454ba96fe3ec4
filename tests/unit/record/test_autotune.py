from __future__ import annotations

import pytest
from pydantic import ValidationError
from records import make_tuned

from raybench.record.autotune import StepSettings

FIELDS = {
    "precision": "bf16",
    "memory_format": "channels_last",
    "execution": "eager",
    "fused_optimizer": False,
    "cudnn_benchmark": False,
    "batch_size": 64,
}


def test_settings_are_named_in_a_line() -> None:
    assert StepSettings(**FIELDS).title == "bf16, channels_last, eager, batch 64"
    both = StepSettings(**{**FIELDS, "fused_optimizer": True, "cudnn_benchmark": True})
    assert both.title == "bf16, channels_last, eager, fused optimizer, cudnn benchmark, batch 64"


def test_settings_leave_nothing_open() -> None:
    for change in ({"execution": "best"}, {"batch_size": "largest"}):
        with pytest.raises(ValidationError):
            StepSettings(**{**FIELDS, **change})


def test_what_was_chosen_is_among_the_candidates() -> None:
    autotune = make_tuned(precision="fp16").autotune
    assert autotune is not None
    assert autotune.chosen in [candidate.settings for candidate in autotune.candidates]
