"""The hardware table: names that real devices bear, and figures checked by arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.catalog.hardware import (
    GPUS,
    Hardware,
    canonical_label,
    cpu_threads,
    label_of,
)
from raybench.errors import SpecError


@pytest.mark.parametrize(
    ("device_name", "label"),
    [
        ("Tesla K80", "K80"),
        ("Tesla P100-PCIE-16GB", "P100"),
        ("Tesla P100-SXM2-16GB", "P100"),
        ("Tesla V100S-PCIE-32GB", "V100"),
        ("Tesla V100-DGXS-32GB", "V100"),
        ("Tesla T4", "T4"),
        ("Tesla P4", "P4"),
        ("Tesla P40", "P40"),
        ("GeForce GTX TITAN X", "GTXTITANX"),
        ("NVIDIA TITAN X (Pascal)", "TITANX"),
        ("TITAN Xp", "TITANXp"),
        ("NVIDIA GeForce RTX 2080 Ti", "RTX2080Ti"),
        ("Quadro RTX 6000", "QuadroRTX6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX6000Ada"),
        ("NVIDIA RTX A6000", "A6000"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40", "L40"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA B200", "B200"),
        # What only looks like one of them.
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", None),
        ("NVIDIA A40-24Q", None),
        ("GRID P4-1Q", None),
        ("NVIDIA GeForce RTX 3090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA GeForce RTX 2080 SUPER", None),
        ("Quadro GP100", None),
        ("NVIDIA GeForce GTX 1660 Ti", None),
    ],
)
def test_a_device_is_known_by_its_own_name(device_name: str, label: str | None) -> None:
    assert label_of(device_name) == label


@pytest.mark.parametrize(
    ("device_name", "fp32_tflops", "memory_gb_per_s"),
    [
        ("Tesla P100-PCIE-16GB", 9.3, 732),
        ("Tesla P100-PCIE-12GB", 9.3, 549),
        ("Tesla P100-SXM2-16GB", 10.6, 732),
        ("NVIDIA H100 PCIe", 51, 2000),
        ("NVIDIA H100 80GB HBM3", 67, 3350),
        ("NVIDIA H100 64GB HBM2", None, None),
        ("Tesla V100-DGXS-32GB", None, None),
        ("NVIDIA GeForce RTX 3080", None, None),
    ],
)
def test_variants_have_datasheets_of_their_own_or_none(
    device_name: str, fp32_tflops: float | None, memory_gb_per_s: float | None
) -> None:
    label = label_of(device_name)
    assert label is not None
    sheet = GPUS[label].datasheet(device_name)
    assert (sheet.fp32_tflops, sheet.memory_gb_per_s) == (fp32_tflops, memory_gb_per_s)


def test_without_a_name_there_is_no_figure() -> None:
    for device_name in (None, "Tesla K80", "NVIDIA P100-PCIE-16GB MIG 1g.5gb"):
        assert GPUS["P100"].datasheet(device_name).peak_tflops("fp32") is None


# CUDA cores, boost clock in MHz, memory bus in bits, memory rate in Gbit/s a pin: from the
# architecture whitepapers and board specifications, independent of the peaks in the table.
BOARDS = [
    ("Tesla K20Xm", 2688, 732, 384, 5.2),
    ("Tesla K20m", 2496, 706, 320, 5.2),
    ("Tesla K40m", 2880, 875, 384, 6.0),
    ("Tesla K80", 2496, 875, 384, 5.0),
    ("GeForce GTX 980 Ti", 2816, 1075, 384, 7.0),
    ("GeForce GTX TITAN X", 3072, 1075, 384, 7.0),
    ("Tesla M40", 3072, 1114, 384, 6.0),
    ("Tesla M60", 2048, 1178, 256, 5.0),
    ("Tesla P4", 2560, 1063, 256, 6.0),
    ("Tesla P40", 3840, 1531, 384, 7.2),
    ("Tesla P100-PCIE-16GB", 3584, 1303, 4096, 1.43),
    ("Tesla P100-PCIE-12GB", 3584, 1303, 3072, 1.43),
    ("Tesla P100-SXM2-16GB", 3584, 1480, 4096, 1.43),
    ("GeForce GTX 1080", 2560, 1733, 256, 10.0),
    ("GeForce GTX 1080 Ti", 3584, 1582, 352, 11.0),
    ("NVIDIA TITAN X (Pascal)", 3584, 1531, 384, 10.0),
    ("TITAN Xp", 3840, 1582, 384, 11.4),
    ("Tesla V100-PCIE-16GB", 5120, 1370, 4096, 1.76),
    ("Tesla V100-SXM2-32GB", 5120, 1530, 4096, 1.76),
    ("Tesla V100S-PCIE-32GB", 5120, 1597, 4096, 2.21),
    ("NVIDIA TITAN V", 5120, 1455, 3072, 1.7),
    ("Tesla T4", 2560, 1590, 256, 10.0),
    ("GeForce RTX 2080", 2944, 1710, 256, 14.0),
    ("GeForce RTX 2080 Ti", 4352, 1545, 352, 14.0),
    ("TITAN RTX", 4608, 1770, 384, 14.0),
    ("Quadro RTX 5000", 3072, 1815, 256, 14.0),
    ("Quadro RTX 8000", 4608, 1770, 384, 14.0),
    ("NVIDIA A100-SXM4-40GB", 6912, 1410, 5120, 2.43),
    ("NVIDIA A100-SXM4-80GB", 6912, 1410, 5120, 3.19),
    ("NVIDIA A30", 3584, 1440, 3072, 2.43),
    ("NVIDIA A10", 9216, 1695, 384, 12.5),
    ("NVIDIA A10G", 10240, 1710, 384, 12.5),
    ("NVIDIA A40", 10752, 1740, 384, 14.5),
    ("NVIDIA RTX A4000", 6144, 1560, 256, 14.0),
    ("NVIDIA RTX A5000", 8192, 1695, 384, 16.0),
    ("NVIDIA RTX A6000", 10752, 1800, 384, 16.0),
    ("NVIDIA GeForce RTX 3070", 5888, 1725, 256, 14.0),
    ("NVIDIA GeForce RTX 3090", 10496, 1695, 384, 19.5),
    ("NVIDIA GeForce RTX 3090 Ti", 10752, 1860, 384, 21.0),
    ("NVIDIA L4", 7424, 2040, 192, 12.5),
    ("NVIDIA L40", 18176, 2490, 384, 18.0),
    ("NVIDIA L40S", 18176, 2520, 384, 18.0),
    ("NVIDIA GeForce RTX 4080", 9728, 2505, 256, 22.4),
    ("NVIDIA GeForce RTX 4090", 16384, 2520, 384, 21.0),
    ("NVIDIA RTX 6000 Ada Generation", 18176, 2505, 384, 20.0),
    ("NVIDIA H100 80GB HBM3", 16896, 1980, 5120, 5.23),
    ("NVIDIA H100 PCIe", 14592, 1755, 5120, 3.2),
    ("NVIDIA GeForce RTX 5090", 21760, 2407, 512, 28.0),
]


@pytest.mark.parametrize(("device_name", "cores", "boost_mhz", "bus_bits", "gbit_per_s"), BOARDS)
def test_peaks_agree_with_cores_and_clocks(
    device_name: str, cores: int, boost_mhz: int, bus_bits: int, gbit_per_s: float
) -> None:
    label = label_of(device_name)
    assert label is not None
    sheet = GPUS[label].datasheet(device_name)
    # A fused multiply-add is two operations.
    assert sheet.fp32_tflops == pytest.approx(2 * cores * boost_mhz * 1e-6, rel=0.02)
    assert sheet.memory_gb_per_s == pytest.approx(bus_bits * gbit_per_s / 8, rel=0.03)


# Multiply-adds a clock and SM on tensor cores, dense, with fp32 accumulation: (tf32, fp16).
# The TITAN V is left out: its maker's 110 is below what its clock gives.
TENSOR_RATES = {
    "V100": (None, 512),
    "T4": (None, 512),
    "TITANRTX": (None, 512),
    "RTX2080Ti": (None, 256),
    "A100": (512, 1024),
    "A30": (512, 1024),
    "A10": (256, 512),
    "A10G": (128, 256),
    "A40": (256, 512),
    "A6000": (256, 512),
    "RTX3090": (128, 256),
    "RTX4090": (128, 256),
    "L40S": (256, 512),
    "RTX6000Ada": (256, 512),
}
CORES_AN_SM = {
    "V100": 64,
    "T4": 64,
    "TITANRTX": 64,
    "RTX2080Ti": 64,
    "A100": 64,
    "A30": 64,
}


@pytest.mark.parametrize("label", sorted(TENSOR_RATES))
def test_tensor_peaks_are_dense_and_accumulate_in_fp32(label: str) -> None:
    tf32, fp16 = TENSOR_RATES[label]
    for sheet in GPUS[label].datasheets:
        if sheet.fp32_tflops is None:
            continue
        # Both kinds of cores run at the same boost clock, so the ratio to fp32 is fixed.
        per_sm = CORES_AN_SM.get(label, 128)
        assert sheet.fp16_tflops == pytest.approx(sheet.fp32_tflops * fp16 / per_sm, rel=0.05)
        expected = (
            None if tf32 is None else pytest.approx(sheet.fp32_tflops * tf32 / per_sm, rel=0.05)
        )
        assert sheet.tf32_tflops == expected


def test_labels_are_found_in_any_case() -> None:
    assert canonical_label("rtx2080ti") == "RTX2080Ti"
    assert canonical_label("CPU:4") == "cpu:4"
    assert (cpu_threads("cpu:4"), cpu_threads("P100")) == (4, None)


@pytest.mark.parametrize("name", ["P1000", "c:1", "", "K 80"])
def test_an_unknown_label_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(SpecError) as error:
        canonical_label(name)
    assert repr(name) in str(error.value)
    assert "K80" in str(error.value)
    assert "hardware.csv" in str(error.value)
    assert "RAYBENCH_HARDWARE" in str(error.value)


@pytest.mark.parametrize("name", ["cpu", "cpu:0", "CPU:-1", "cpu:01", "cpu:", "cpu:two"])
def test_a_number_of_threads_that_is_none_gets_an_answer_of_its_own(name: str) -> None:
    with pytest.raises(SpecError) as error:
        canonical_label(name)
    assert str(error.value).splitlines() == [
        f"hardware {name!r} says no number of threads",
        "allowed: cpu:N with N of 1 or more, such as cpu:2",
    ]


@given(
    label=st.sampled_from([*GPUS, "cpu:1", "cpu:64", "RTX 3090", "Colab's"]),
    gpus=st.integers(1, 16),
    device=st.sampled_from(["", "Tesla P100-PCIE-16GB", "Xeon(R) E5 (Haswell)", "a | b"]),
)
def test_a_hardware_is_read_back_from_its_text(label: str, gpus: int, device: str) -> None:
    hardware = Hardware(label, gpus, device)
    assert Hardware.parse(str(hardware)) == hardware


@given(st.text())
def test_any_text_is_some_hardware(text: str) -> None:
    assert Hardware.parse(str(Hardware.parse(text))) == Hardware.parse(text)


def test_a_hardware_is_shown_with_what_tells_it_apart() -> None:
    assert str(Hardware("P100")) == "P100"
    assert str(Hardware("P100", device="Tesla P100-PCIE-16GB")) == "P100 (Tesla P100-PCIE-16GB)"
    assert str(Hardware("P100", gpus=4)) == "4 × P100"
    assert Hardware.parse("p100 (Tesla P100-PCIE-16GB)").label == "P100"
    assert sorted([Hardware("P100", 2), Hardware("K80"), Hardware("P100")])[1] == Hardware("P100")


def test_a_hardware_knows_its_gpu_or_its_threads() -> None:
    assert Hardware.parse("CPU:4").cpu_threads == 4
    assert Hardware("cpu:4").gpu is None
    assert Hardware("P100", device="Tesla P100-PCIE-16GB").gpu is GPUS["P100"]
    assert (Hardware("P100").cpu_threads, Hardware("a reference's").gpu) == (None, None)
