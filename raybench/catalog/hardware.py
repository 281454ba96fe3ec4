"""The hardware that trials run on: GPUs by the labels of ``gpu_types``, and ``cpu:N``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from raybench.catalog.gpu_types import SLICE, GpuType, GpuTypes
from raybench.errors import SpecError, nearest

CPU_LABEL = re.compile(r"cpu:([1-9][0-9]*)")
"""``cpu:2`` is two threads of the host's processor."""

ADD_A_ROW = "add a row to raybench/catalog/hardware.csv, or to a file that RAYBENCH_HARDWARE names"

GPUS = GpuTypes()
"""Every GPU type by its label."""


@dataclass(frozen=True, order=True)
class Hardware:
    """What a trial ran on, as tables tell it apart."""

    label: str
    """``P100`` or ``cpu:2``, or whatever a published result calls its hardware"""
    gpus: int = 1
    """how many of them worked on one trial"""
    device: str = ""
    """the device's own name, only where one label covers several kinds of device"""

    @classmethod
    def parse(cls, text: str) -> Hardware:
        """Read what ``str()`` writes; a label that the catalog holds may be in any case.

        >>> Hardware.parse("p100")
        Hardware(label='P100', gpus=1, device='')
        >>> Hardware.parse("4 × P100 (Tesla P100-SXM2-16GB)").device
        'Tesla P100-SXM2-16GB'
        """
        match = _HARDWARE.fullmatch(text)
        assert match is not None, "every part of the expression is optional, or takes any text"
        gpus, label, device = match.groups()
        return cls(_spelling(label) or label, int(gpus or 1), device or "")

    def __str__(self) -> str:
        count = f"{self.gpus} × " if self.gpus > 1 else ""
        return f"{count}{self.label}" + (f" ({self.device})" if self.device else "")

    @property
    def cpu_threads(self) -> int | None:
        """N for ``cpu:N``, None for anything else."""
        return cpu_threads(self.label)

    @property
    def gpu(self) -> GpuType | None:
        """What the catalog says of the GPU; None for a CPU, or a label that it does not hold."""
        return GPUS.get(self.label)


_HARDWARE = re.compile(r"(?:([2-9]|[1-9][0-9]{1,3}) × )?(.*?)(?: \((.+)\))?", re.DOTALL)


def cpu_threads(label: str) -> int | None:
    """Return N for the label ``cpu:N``, or None for a GPU's label."""
    match = CPU_LABEL.fullmatch(label)
    return int(match[1]) if match else None


def canonical_label(name: str) -> str:
    """Return the label as the table spells it (``p100`` is ``P100``).

    Raises:
        SpecError: no such hardware is known.
    """
    label = _spelling(name)
    if label is not None:
        return label
    if name.casefold().partition(":")[0] == "cpu":
        raise SpecError(
            f"hardware {name!r} says no number of threads",
            allowed="cpu:N with N of 1 or more, such as cpu:2",
        )
    raise SpecError(
        f"unknown hardware {name!r}. {nearest(name, [*GPUS, 'cpu:1', 'cpu:2'])}".rstrip(),
        allowed=f"cpu:N (N threads), {', '.join(sorted(GPUS))}",
        hint=f"for another GPU type, {ADD_A_ROW}",
    )


def _spelling(name: str) -> str | None:
    """Return the label that ``name`` is, but for its case, or None."""
    folded = name.casefold()
    return folded if cpu_threads(folded) else GPUS.spelling(folded)


def label_of(device_name: str) -> str | None:
    """Return the label of a GPU by its own name, or None if the table has no such GPU.

    A part of a GPU has no label: it would break the promise of any.
    """
    if SLICE.search(device_name):
        return None
    sheets = (sheet for gpu in GPUS.values() for sheet in gpu.datasheets)
    return next((sheet.label for sheet in sheets if sheet.describes(device_name)), None)
