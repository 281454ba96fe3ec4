"""The hardware that raybench knows: a label, how its devices name themselves, their datasheets.

To add a GPU type, add a row to ``hardware.csv`` beside this file:

    label        what specs, Ray resources and tables call it
    device_name  regular expression that is found in the device's own name, in any case of letters
    capability   compute capability, major.minor
    fp32         peak of single precision outside tensor cores, in 10^12 operations per second
    tf32         peak of TF32 on tensor cores
    bf16         peak of bfloat16
    fp16         peak of half precision, where there is a faster path for it than for single
    memory       bandwidth in 10^9 bytes per second
    source       where the figures come from

The first row that fits a device's own name holds. Peaks are dense (no sparsity), at boost clock,
on tensor cores with fp32 accumulation, as training uses them. They serve MFU and the speedup that
datasheets would lead one to expect, never a measured figure. An empty cell means that the source
gives no such figure: a device that no row describes has none at all, never a neighbour's.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from raybench.errors import SpecError, nearest

TABLE = Path(__file__).with_name("hardware.csv")

CPU_LABEL = re.compile(r"cpu:([1-9][0-9]*)")
"""``cpu:2`` is two threads of the host's processor."""

SLICE = re.compile(r"\bMIG\b|-[0-9]+[ABCQ]$")
"""In the name of a part of a GPU: ``NVIDIA A100-SXM4-40GB MIG 1g.5gb``, or the vGPU ``A40-24Q``."""


@dataclass(frozen=True, kw_only=True)
class Datasheet:
    """What the maker says of one device; None where he does not.

    Attributes:
        device_name: regular expression that is found in the own name of the devices described.
        fp32_tflops: peak of single precision outside tensor cores, in 10^12 operations per second.
        tf32_tflops: peak of TF32 on tensor cores.
        bf16_tflops: peak of bfloat16.
        fp16_tflops: peak of half precision, where there is a faster path for it than for single.
        memory_gb_per_s: memory bandwidth in 10^9 bytes per second.
        source: where the figures come from, or why there are none.
    """

    device_name: str = ""
    fp32_tflops: float | None = None
    tf32_tflops: float | None = None
    bf16_tflops: float | None = None
    fp16_tflops: float | None = None
    memory_gb_per_s: float | None = None
    source: str

    def describes(self, device_name: str) -> bool:
        """Whether it is the datasheet of a device of that name."""
        return bool(re.search(self.device_name, device_name, re.IGNORECASE))

    def peak_tflops(self, precision: str) -> float | None:
        """Return the peak for ``fp32``, ``tf32``, ``bf16`` or ``fp16``."""
        peaks = {
            "fp32": self.fp32_tflops,
            "tf32": self.tf32_tflops,
            "bf16": self.bf16_tflops,
            "fp16": self.fp16_tflops,
        }
        return peaks[precision]


NO_DATASHEET = Datasheet(source="raybench/catalog/hardware.csv describes no device of this name")


@dataclass(frozen=True, kw_only=True)
class GpuType:
    """One GPU type.

    Attributes:
        label: what specs, Ray resources and tables call it.
        compute_capability: (major, minor).
        datasheets: of its devices, the more special before the more general.
    """

    label: str
    compute_capability: tuple[int, int]
    datasheets: tuple[Datasheet, ...]

    def datasheet(self, device_name: str | None) -> Datasheet:
        """Return the datasheet of a device by its own name; it may hold no figure."""
        if device_name is None or SLICE.search(device_name):
            return NO_DATASHEET
        found = (sheet for sheet in self.datasheets if sheet.describes(device_name))
        return next(found, NO_DATASHEET)


def _read_table() -> dict[str, GpuType]:
    gpus: dict[str, GpuType] = {}
    with TABLE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            figures = {
                f"{name}_tflops": _figure(row[name]) for name in ("fp32", "tf32", "bf16", "fp16")
            }
            sheet = Datasheet(
                device_name=row["device_name"],
                memory_gb_per_s=_figure(row["memory"]),
                source=row["source"],
                **figures,
            )
            major, minor = row["capability"].split(".")
            others = gpus[row["label"]].datasheets if row["label"] in gpus else ()
            gpus[row["label"]] = GpuType(
                label=row["label"],
                compute_capability=(int(major), int(minor)),
                datasheets=(*others, sheet),
            )
    return gpus


def _figure(cell: str) -> float | None:
    return float(cell) if cell else None


GPUS: dict[str, GpuType] = _read_table()


@dataclass(frozen=True, order=True)
class Hardware:
    """What a trial ran on, as tables tell it apart.

    Attributes:
        label: ``P100`` or ``cpu:2``, or whatever a published result calls its hardware.
        gpus: how many of them worked on one trial.
        device: the device's own name, only where one label covers several kinds of device.
    """

    label: str
    gpus: int = 1
    device: str = ""

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
        label = match["label"]
        return cls(
            label=_spelling(label) or label,
            gpus=int(match["gpus"] or 1),
            device=match["device"] or "",
        )

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


_HARDWARE = re.compile(
    r"(?:(?P<gpus>[2-9]|[1-9][0-9]{1,3}) × )?(?P<label>.*?)(?: \((?P<device>.+)\))?", re.DOTALL
)


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
    raise SpecError(
        f"unknown hardware {name!r}. {nearest(name, [*GPUS, 'cpu:1', 'cpu:2'])}".rstrip(),
        allowed=f"cpu:N (N threads), {', '.join(sorted(GPUS))}",
        hint="add a row to raybench/catalog/hardware.csv for another GPU type",
    )


def _spelling(name: str) -> str | None:
    """Return the label that ``name`` is, but for its case, or None."""
    folded = name.casefold()
    if cpu_threads(folded):
        return folded
    return next((label for label in GPUS if label.casefold() == folded), None)


def label_of(device_name: str) -> str | None:
    """Return the label of a GPU by its own name, or None if the table has no such GPU.

    A part of a GPU has no label: it would break the promise of any.
    """
    if SLICE.search(device_name):
        return None
    for gpu in GPUS.values():
        if any(sheet.describes(device_name) for sheet in gpu.datasheets):
            return gpu.label
    return None
