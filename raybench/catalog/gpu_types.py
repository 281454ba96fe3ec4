"""The GPU types that raybench knows: a label, how the devices name themselves, their datasheets.

To add a GPU type, add a row to ``hardware.csv`` beside this file, or to a file of one's own that
``RAYBENCH_HARDWARE`` names:

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
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from raybench.errors import SpecError
from raybench.settings import Settings

TABLE = Path(__file__).with_name("hardware.csv")

SLICE = re.compile(r"\bMIG\b|-[0-9]+[ABCQ]$")
"""In the name of a part of a GPU: ``NVIDIA A100-SXM4-40GB MIG 1g.5gb``, or the vGPU ``A40-24Q``."""


def _compiles(expression: str) -> str:
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    return expression


def _names_no_other_resource(label: str) -> str:
    if label.casefold() in ("cpu", "gpu", "memory", "object_store_memory"):
        raise ValueError("Ray has a resource of that name")
    return label


_Figure = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    BeforeValidator(lambda cell: cell or None),
]


class Datasheet(BaseModel):
    """What the maker says of one device, None where he does not: a row of a table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"),
        AfterValidator(_names_no_other_resource),
    ] = ""
    device_name: Annotated[str, Field(min_length=1), AfterValidator(_compiles)] = ""
    capability: str = Field(default="", pattern=r"^[0-9]+\.[0-9]+$")
    fp32_tflops: _Figure = Field(default=None, alias="fp32")
    tf32_tflops: _Figure = Field(default=None, alias="tf32")
    bf16_tflops: _Figure = Field(default=None, alias="bf16")
    fp16_tflops: _Figure = Field(default=None, alias="fp16")
    memory_gb_per_s: _Figure = Field(default=None, alias="memory")
    source: str = ""

    def describes(self, device_name: str) -> bool:
        """Whether it is the datasheet of a device of that name."""
        return bool(re.search(self.device_name, device_name, re.IGNORECASE))

    def peak_tflops(self, precision: str) -> float | None:
        """Return the peak for ``fp32``, ``tf32``, ``bf16`` or ``fp16``."""
        peak: float | None = getattr(self, f"{precision}_tflops")
        return peak


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
            return Datasheet()
        found = (sheet for sheet in self.datasheets if sheet.describes(device_name))
        return next(found, Datasheet())


def gpu_types(tables: Iterable[Path]) -> dict[str, GpuType]:
    """Read GPU types by their labels; where two tables have rows of one label, the first's hold.

    Raises:
        SpecError: a table cannot be read, or a row is wrong; the message has the file and line.
    """
    found: dict[str, GpuType] = {}
    places: dict[str, tuple[str, str]] = {}
    for place, row in (pair for table in tables for pair in _rows(table)):
        major, minor = map(int, row.capability.split("."))
        first, spelling = places.setdefault(row.label.casefold(), (place, row.label))
        known = found.get(row.label)
        if spelling != row.label:
            raise SpecError(f"{first}: the label {spelling!r} is spelled {row.label!r} in {place}")
        if known and known.compute_capability != (major, minor):
            raise SpecError(
                f"{first}: {row.label} has another capability in {place}, {row.capability}",
                hint="give a GPU of another kind a label of its own",
            )
        found[row.label] = GpuType(
            label=row.label,
            compute_capability=(major, minor),
            datasheets=(*(known.datasheets if known else ()), row),
        )
    return found


def _rows(table: Path) -> Iterator[tuple[str, Datasheet]]:
    """Go through a table's rows, each with its place."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [field.alias or name for name, field in Datasheet.model_fields.items()]
            if reader.fieldnames != columns:
                raise SpecError(
                    f"{table}, line 1: these are not the columns of a table of GPU types",
                    allowed=",".join(columns),
                )
            for cells in reader:
                place = f"{table}, line {reader.line_num}"
                yield place, _row(place, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(
            f"cannot read the GPU types of {table}: {error}",
            hint="RAYBENCH_HARDWARE names a file with rows as in raybench/catalog/hardware.csv",
        ) from None


def _row(place: str, cells: dict[str | Any, Any]) -> Datasheet:
    if None in cells or None in cells.values():
        raise SpecError(f"{place}: it has more or fewer cells than there are columns")
    try:
        return Datasheet(**cells)
    except ValidationError as error:
        first = error.errors()[0]
        raise SpecError(
            f"{place}: {first['loc'][0]} is {first['input']!r}: {first['msg']}"
        ) from None


class GpuTypes(Mapping[str, GpuType]):
    """The GPU types by their labels, read when the first one is asked for.

    Those of the file that ``RAYBENCH_HARDWARE`` names come before those of raybench.
    """

    @functools.cached_property
    def _types(self) -> dict[str, GpuType]:
        site = Settings().hardware
        return gpu_types([*([site] if site else []), TABLE])

    def __getitem__(self, label: str) -> GpuType:
        return self._types[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def spelling(self, name: str) -> str | None:
        """Return the label that ``name`` is, but for its case, or None."""
        return next((label for label in self if label.casefold() == name.casefold()), None)
