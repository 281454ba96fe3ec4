"""The hardware that raybench knows: a label, how its device names itself, and its datasheet.

To add a GPU type, add a row to ``GPUS``. A label is a promise: a trial compares the device's own
name (as NVML and CUDA report it) with the row's patterns before it measures anything.

Peaks are dense datasheet figures (no sparsity) at boost clock; ``None`` means that the datasheet
gives no such figure, never a guess. They are used for MFU and for the speedup that a datasheet
would lead one to expect, not for any measured figure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from raybench.errors import SpecError, nearest

CPU_LABEL = re.compile(r"cpu:([1-9][0-9]*)")
"""``cpu:2`` is two threads of the host's processor."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU type.

    Attributes:
        label: what specs, Ray resources and tables call it.
        patterns: regular expressions, one of which is found in the device's own name.
        compute_capability: (major, minor).
        fp32_tflops: peak of single precision outside tensor cores, in 10^12 operations per second.
        tf32_tflops: peak of TF32 on tensor cores, or None where it has none.
        bf16_tflops: peak of bfloat16 with fp32 accumulation, or None where it has none.
        fp16_tflops: peak of half precision, or None where it has no faster path for it.
        memory_gb_per_s: memory bandwidth in 10^9 bytes per second.
        source: where the figures come from.
    """

    label: str
    patterns: tuple[str, ...]
    compute_capability: tuple[int, int]
    fp32_tflops: float | None
    tf32_tflops: float | None = None
    bf16_tflops: float | None = None
    fp16_tflops: float | None = None
    memory_gb_per_s: float | None
    source: str

    def peak_tflops(self, precision: str) -> float | None:
        """Return the datasheet's peak for ``fp32``, ``tf32``, ``bf16`` or ``fp16``."""
        peaks = {
            "fp32": self.fp32_tflops,
            "tf32": self.tf32_tflops,
            "bf16": self.bf16_tflops,
            "fp16": self.fp16_tflops,
        }
        return peaks[precision]


# First match wins: a more specific name stands before a more general one.
_ROWS = (
    Gpu(
        label="K80",
        patterns=(r"\bK80\b",),
        compute_capability=(3, 7),
        fp32_tflops=4.37,
        memory_gb_per_s=240,
        source="NVIDIA Tesla K80 board specification BD-07317-001; one of its two GPUs, with boost",
    ),
    Gpu(
        label="P100",
        patterns=(r"\bP100\b",),
        compute_capability=(6, 0),
        fp32_tflops=9.3,
        fp16_tflops=18.7,
        memory_gb_per_s=732,
        source="NVIDIA Tesla P100 datasheet (2016), PCIe 16 GB",
    ),
    Gpu(
        label="V100",
        patterns=(r"\bV100",),
        compute_capability=(7, 0),
        fp32_tflops=14.0,
        fp16_tflops=112,
        memory_gb_per_s=900,
        source="NVIDIA Tesla V100 datasheet (2018), PCIe",
    ),
    Gpu(
        label="T4",
        patterns=(r"\bT4\b",),
        compute_capability=(7, 5),
        fp32_tflops=8.1,
        fp16_tflops=65,
        memory_gb_per_s=320,
        source="NVIDIA T4 datasheet (2019)",
    ),
    Gpu(
        label="RTX2080Ti",
        patterns=(r"RTX 2080 Ti\b",),
        compute_capability=(7, 5),
        fp32_tflops=13.4,
        fp16_tflops=53.8,
        memory_gb_per_s=616,
        source="NVIDIA Turing architecture whitepaper (2018), fp16 with fp32 accumulation",
    ),
    Gpu(
        label="A100",
        patterns=(r"\bA100\b",),
        compute_capability=(8, 0),
        fp32_tflops=19.5,
        tf32_tflops=156,
        bf16_tflops=312,
        fp16_tflops=312,
        memory_gb_per_s=1555,
        source="NVIDIA A100 datasheet (2020), 40 GB",
    ),
    Gpu(
        label="A30",
        patterns=(r"\bA30\b",),
        compute_capability=(8, 0),
        fp32_tflops=10.3,
        tf32_tflops=82,
        bf16_tflops=165,
        fp16_tflops=165,
        memory_gb_per_s=933,
        source="NVIDIA A30 datasheet (2021)",
    ),
    Gpu(
        label="A40",
        patterns=(r"\bA40\b",),
        compute_capability=(8, 6),
        fp32_tflops=37.4,
        tf32_tflops=74.8,
        bf16_tflops=149.7,
        fp16_tflops=149.7,
        memory_gb_per_s=696,
        source="NVIDIA A40 datasheet (2021)",
    ),
    Gpu(
        label="A10",
        patterns=(r"\bA10G?\b",),
        compute_capability=(8, 6),
        fp32_tflops=31.2,
        tf32_tflops=62.5,
        bf16_tflops=125,
        fp16_tflops=125,
        memory_gb_per_s=600,
        source="NVIDIA A10 datasheet (2021)",
    ),
    Gpu(
        label="A6000",
        patterns=(r"RTX A6000\b",),
        compute_capability=(8, 6),
        fp32_tflops=38.7,
        tf32_tflops=77.4,
        bf16_tflops=154.8,
        fp16_tflops=154.8,
        memory_gb_per_s=768,
        source="NVIDIA RTX A6000 datasheet (2020); dense tensor peaks are half the sparse ones",
    ),
    Gpu(
        label="RTX3090",
        patterns=(r"RTX 3090\b(?! Ti)",),
        compute_capability=(8, 6),
        fp32_tflops=35.6,
        tf32_tflops=35.6,
        bf16_tflops=71.2,
        fp16_tflops=71.2,
        memory_gb_per_s=936,
        source="NVIDIA Ampere GA102 whitepaper (2020), with fp32 accumulation",
    ),
    Gpu(
        label="L4",
        patterns=(r"\bL4\b",),
        compute_capability=(8, 9),
        fp32_tflops=30.3,
        tf32_tflops=60,
        bf16_tflops=121,
        fp16_tflops=121,
        memory_gb_per_s=300,
        source="NVIDIA L4 datasheet (2023); dense tensor peaks are half the sparse ones",
    ),
    Gpu(
        label="L40S",
        patterns=(r"\bL40S\b",),
        compute_capability=(8, 9),
        fp32_tflops=91.6,
        tf32_tflops=183,
        bf16_tflops=362,
        fp16_tflops=362,
        memory_gb_per_s=864,
        source="NVIDIA L40S datasheet (2023)",
    ),
    Gpu(
        label="L40",
        patterns=(r"\bL40\b",),
        compute_capability=(8, 9),
        fp32_tflops=90.5,
        tf32_tflops=90.5,
        bf16_tflops=181,
        fp16_tflops=181,
        memory_gb_per_s=864,
        source="NVIDIA L40 datasheet (2022)",
    ),
    Gpu(
        label="RTX4090",
        patterns=(r"RTX 4090\b",),
        compute_capability=(8, 9),
        fp32_tflops=82.6,
        tf32_tflops=82.6,
        bf16_tflops=165.2,
        fp16_tflops=165.2,
        memory_gb_per_s=1008,
        source="NVIDIA Ada GPU architecture whitepaper (2022), with fp32 accumulation",
    ),
    Gpu(
        label="GH200",
        patterns=(r"\bGH200\b",),
        compute_capability=(9, 0),
        fp32_tflops=67,
        tf32_tflops=494,
        bf16_tflops=990,
        fp16_tflops=990,
        memory_gb_per_s=4000,
        source="NVIDIA GH200 datasheet (2023), 96 GB HBM3",
    ),
    Gpu(
        label="H200",
        patterns=(r"\bH200\b",),
        compute_capability=(9, 0),
        fp32_tflops=67,
        tf32_tflops=494,
        bf16_tflops=989,
        fp16_tflops=989,
        memory_gb_per_s=4800,
        source="NVIDIA H200 datasheet (2023), SXM; dense tensor peaks are half the sparse ones",
    ),
    Gpu(
        label="H100",
        patterns=(r"\bH100\b",),
        compute_capability=(9, 0),
        fp32_tflops=67,
        tf32_tflops=494,
        bf16_tflops=989,
        fp16_tflops=989,
        memory_gb_per_s=3350,
        source="NVIDIA H100 datasheet (2023), SXM; dense tensor peaks are half the sparse ones",
    ),
    Gpu(
        label="B200",
        patterns=(r"\bB200\b",),
        compute_capability=(10, 0),
        fp32_tflops=75,
        tf32_tflops=1100,
        bf16_tflops=2250,
        fp16_tflops=2250,
        memory_gb_per_s=7700,
        source="NVIDIA DGX B200 datasheet (2024), per GPU; dense tensor peaks are half the sparse ones",
    ),
)

GPUS: dict[str, Gpu] = {row.label: row for row in _ROWS}


def cpu_threads(label: str) -> int | None:
    """Return N for the label ``cpu:N``, or None for a GPU's label."""
    match = CPU_LABEL.fullmatch(label)
    return int(match[1]) if match else None


def canonical_label(name: str) -> str:
    """Return the label as the table spells it (``p100`` is ``P100``).

    Raises:
        SpecError: no such hardware is known.
    """
    folded = name.casefold()
    if cpu_threads(folded):
        return folded
    for label in GPUS:
        if label.casefold() == folded:
            return label
    raise SpecError(
        f"unknown hardware {name!r}. {nearest(name, [*GPUS, 'cpu:1', 'cpu:2'])}".rstrip(),
        allowed=f"cpu:N (N threads), {', '.join(sorted(GPUS))}",
        cure="add a row to raybench/catalog/hardware.py for another GPU type",
    )


def label_of(device_name: str) -> str | None:
    """Return the label of a GPU by its own name, or None if the table has no such GPU."""
    for gpu in _ROWS:
        if any(re.search(pattern, device_name) for pattern in gpu.patterns):
            return gpu.label
    return None
