from __future__ import annotations

import pytest
import torch
from small_models import chatty, small

from raybench.trial.measure.audit import StepAudit


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


def test_operations_are_counted() -> None:
    with StepAudit() as audit:
        step(small(10))
    # 16×16 pixels, 3×3 kernel, stride 2, no padding: 7×7 outputs of 8 channels, from 3 channels.
    convolution = 2 * 4 * 8 * 7 * 7 * 3 * 3 * 3
    linear = 2 * 4 * 72 * 10
    # Backward: the convolution's weights (its input needs no gradient), the linear's both.
    assert audit.flops == 2 * convolution + 3 * linear
    assert audit.uncounted == set()


def test_attention_that_no_formula_counts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # As torch 2.0 has it on a GPU: one operation for the whole attention, and no counter.
    monkeypatch.setattr("raybench.trial.measure.flops._torchs_own", dict)
    library = torch.library.Library("raybench_test", "DEF")
    library.define("fused_attention(Tensor q) -> Tensor")
    library.impl("fused_attention", torch.clone, "CPU")
    with StepAudit() as audit:
        torch.ops.raybench_test.fused_attention(torch.ones(3))
    assert audit.uncounted == {"raybench_test::fused_attention"}
