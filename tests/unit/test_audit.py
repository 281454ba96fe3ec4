from __future__ import annotations

import pytest
import torch
from small_models import chatty, small

from raybench.measure.audit import StepAudit

HAS_COUNTER = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 1)


def step(model: torch.nn.Module) -> None:
    model(torch.rand(4, 3, 16, 16)).sum().backward()


def test_a_step_that_prints_and_reads_back_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    with StepAudit() as audit:
        step(chatty(10))
    assert audit.host_reads == 1
    assert audit.printed > 0
    assert [("reads 1 value" in text, "prints" in text) for text in audit.findings()] == [
        (True, False), (False, True)
    ]  # fmt: skip
    assert capsys.readouterr().out.startswith("mean")


def test_a_plain_step_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with StepAudit() as audit:
        step(small(10))
    assert audit.findings() == []
    print("after the audit")
    assert audit.printed == 0


@pytest.mark.skipif(not HAS_COUNTER, reason="torch before 2.1 has no FLOP counter")
def test_operations_are_counted_as_by_hand() -> None:
    with StepAudit() as audit:
        step(small(10))
    # 16×16 pixels, 3×3 kernel, stride 2, no padding: 7×7 outputs of 8 channels, from 3 channels.
    convolution = 2 * 4 * 8 * 7 * 7 * 3 * 3 * 3
    linear = 2 * 4 * 72 * 10
    # Backward: the convolution's weights (its input needs no gradient), the linear's both.
    assert audit.flops == 2 * convolution + 3 * linear


@pytest.mark.skipif(HAS_COUNTER, reason="this torch has a FLOP counter")
def test_without_a_counter_operations_are_unknown() -> None:
    with StepAudit() as audit:
        step(small(10))
    assert audit.flops is None
