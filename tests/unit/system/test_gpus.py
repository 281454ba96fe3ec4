"""Which GPUs a process may use, by what real ones said of themselves."""

from __future__ import annotations

import pytest
from fake_nvml import FakeNvml, a10g, sliced_a100, tesla_k80, tesla_p100
from hypothesis import given
from hypothesis import strategies as st

from raybench.system.gpus import GpuFacts, gpus_shown_by, visible_gpus

P100 = "GPU-ec315101-2c81-1317-1df0-43cfb01564c1"
A10G = "GPU-9a9a6c50-2a47-2f51-a902-b82c3b127e94"


def names(visible: str | None, nvml: FakeNvml | None = None) -> list[str]:
    nvml = nvml or FakeNvml(tesla_p100(), a10g())
    found = gpus_shown_by(visible, nvml)
    assert nvml.sessions == 0
    return [gpu.name for gpu in found]


def test_no_driver_means_no_gpu() -> None:
    assert names(None, FakeNvml(tesla_p100(), driver=None)) == []


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["Tesla P100-PCIE-16GB", "NVIDIA A10G"]),
        ("0,1", ["Tesla P100-PCIE-16GB", "NVIDIA A10G"]),
        ("1, 0", ["NVIDIA A10G", "Tesla P100-PCIE-16GB"]),
        (A10G, ["NVIDIA A10G"]),
        ("GPU-9a9a", ["NVIDIA A10G"]),
        (f"{P100},1", ["Tesla P100-PCIE-16GB", "NVIDIA A10G"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,7,1", ["Tesla P100-PCIE-16GB"]),
        ("GPU-,0", []),
        ("MIG-unknown,0", []),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(
    visible: str | None, expected: list[str]
) -> None:
    assert names(visible) == expected


@given(st.text(alphabet="0123456789,-GPUMIabcdef ", max_size=30))
def test_any_text_shows_a_part_of_what_there_is(visible: str) -> None:
    found = names(visible)
    assert len(found) <= visible.count(",") + 1
    assert set(found) <= {"Tesla P100-PCIE-16GB", "NVIDIA A10G"}


def test_a_device_of_another_job_is_passed_over() -> None:
    nvml = FakeNvml(None, a10g())
    assert names(None, nvml) == names("0", nvml) == ["NVIDIA A10G"]


def test_a_sliced_gpu_gives_a_slice() -> None:
    nvml = FakeNvml(sliced_a100())
    whole, first, second = (gpu.uuid for gpu in nvml.all())
    for visible, uuid in ((None, first), ("0", first), (whole, first), (second, second)):
        (gpu,) = gpus_shown_by(visible, nvml)
        assert (gpu.uuid, gpu.mig, gpu.memory_bytes) == (uuid, True, 19968 << 20)
        assert gpu.compute_capability == (8, 0)


def test_what_nvml_refuses_is_none() -> None:
    (gpu,) = gpus_shown_by(None, FakeNvml(tesla_p100()))
    assert gpu == GpuFacts(
        name="Tesla P100-PCIE-16GB",
        uuid=P100,
        compute_capability=(6, 0),
        memory_bytes=None,
        mig=False,
        mps=False,
    )


def test_a_multi_process_server_is_noticed() -> None:
    gpu = tesla_k80()
    gpu.processes = {34965: "python", 611: "/usr/bin/nvidia-cuda-mps-server"}
    assert gpus_shown_by(None, FakeNvml(gpu))[0].mps is True
    gpu.processes = {34965: "python"}
    assert gpus_shown_by(None, FakeNvml(gpu))[0].mps is False


def test_what_is_visible_is_what_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(tesla_p100(), a10g())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [gpu.name for gpu in visible_gpus(nvml)] == ["NVIDIA A10G"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert len(visible_gpus(nvml)) == 2
