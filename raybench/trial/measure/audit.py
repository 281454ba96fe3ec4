"""A look inside one untimed training step: its operations, and what would disturb the clock.

The timed region must not print, and must not read a figure back from the device at every step:
both make the host wait, and what is then timed is the waiting. raybench's own loop does neither;
a model of the user's own may. The audit sees it during the warm-up, and says so in the record.
"""

from __future__ import annotations

import io
import sys
from types import TracebackType
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from raybench.trial.measure.flops import formulas

_HOST_READS = ("aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::equal")


class StepAudit(TorchDispatchMode):
    """Counts floating-point operations, values read back by the host, and characters printed.

    Attributes:
        flops: a multiplication and an addition are two, as ``raybench.trial.measure.flops`` counts.
        uncounted: names of operations that take many, and that no formula counts.
        host_reads: values that the host read back from the device.
        printed: characters.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._formulas = formulas()
        self.flops = 0
        self.uncounted: set[str] = set()
        self.host_reads = 0
        self.printed = 0
        self._stdout = sys.stdout

    def __enter__(self) -> StepAudit:
        self._stdout, sys.stdout = sys.stdout, _CountingWriter(self, sys.stdout)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc, traceback)  # type: ignore[no-untyped-call]
        sys.stdout = self._stdout

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func._schema.name
        if name in _HOST_READS:
            self.host_reads += 1
        formula = self._formulas.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        elif "attention" in name:
            self.uncounted.add(name)
        return result

    def findings(self) -> list[str]:
        """Return what would disturb the clock, a sentence each."""
        found = []
        if self.host_reads:
            found.append(
                f"a training step reads {self.host_reads} value(s) back from the device (such as "
                ".item()), so the host waits for it within every step"
            )
        if self.printed:
            found.append(f"a training step prints ({self.printed} characters)")
        return found


class _CountingWriter(io.TextIOBase):
    """Passes text on, and counts it for the audit."""

    def __init__(self, audit: StepAudit, target: Any) -> None:
        self._audit = audit
        self._target = target

    def write(self, text: str) -> int:
        self._audit.printed += len(text)
        return int(self._target.write(text))

    def flush(self) -> None:
        self._target.flush()
