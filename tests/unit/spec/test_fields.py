from __future__ import annotations

import pytest

from raybench.spec.fields import TrialFields, choices, names_of
from raybench.spec.identity import Role


@pytest.mark.parametrize("name", list(TrialFields.model_fields))
def test_every_field_says_what_it_means(name: str) -> None:
    assert TrialFields.model_fields[name].description


def test_a_field_of_fixed_choices_names_them() -> None:
    assert choices("precision") == ("fp32", "tf32", "bf16", "fp16")
    assert choices("execution") == ("eager", "compile", "cudagraph", "best")
    assert choices("epochs") == choices("batch_size") == choices("model") == ()


def test_every_field_has_a_role() -> None:
    roles = {role: names_of(role) for role in Role}
    assert sorted(sum(roles.values(), ())) == sorted(TrialFields.model_fields)
    assert roles[Role.BOOKKEEPING] == ("verify_hardware",)
    assert not roles[Role.FIGURE]
