"""A label is a promise: what keeps it, what breaks it, and what the record then says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_nvml import FakeNvml, a10g, sliced_a100, tesla_p100

from raybench.errors import HardwareError
from raybench.system import cpus as cpus_module
from raybench.system import verify as devices
from raybench.system.gpus import GpuFacts, gpus_shown_by
from raybench.system.verify import compare_gpu, default_hardware, describe_hardware

CPU = torch.device("cpu")
THIS_HOST = devices.allowed_cpus()


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gpu(device: object) -> GpuFacts:
    return gpus_shown_by(None, FakeNvml(device))[0]


@pytest.mark.usefixtures("one_thread")
class TestCpu:
    def test_kept(self) -> None:
        facts, missing = describe_hardware("cpu:1", CPU, verify=True)
        assert facts.verified
        assert facts.detected is not None
        assert facts.detected.endswith(", 1 thread")
        assert {name for name, value in facts if value is None} == set(missing)

    def test_fewer_cpus_than_promised(self) -> None:
        label = f"cpu:{THIS_HOST + 1}"
        with pytest.raises(HardwareError, match=f"{label} was promised.*may use {THIS_HOST} CPU"):
            describe_hardware(label, CPU, verify=True)
        facts, _ = describe_hardware(label, CPU, verify=False)
        assert not facts.verified

    @pytest.mark.skipif(THIS_HOST < 2, reason="needs two processors")
    def test_threads_and_workers_share_what_was_promised(self) -> None:
        with pytest.raises(HardwareError, match="torch uses 1 thread"):
            describe_hardware("cpu:2", CPU, verify=True)
        facts, _ = describe_hardware("cpu:2", CPU, verify=True, workers=1)
        assert facts.verified
        assert facts.detected is not None
        assert facts.detected.endswith(", 1 thread and 1 worker")

    @pytest.mark.skipif(THIS_HOST < 2, reason="needs two processors")
    def test_a_limit_that_torch_does_not_know_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.set_num_threads(2)
        monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
        with pytest.raises(HardwareError, match="torch uses 1 thread"):
            describe_hardware("cpu:2", CPU, verify=True)

    def test_a_gpu_s_label(self) -> None:
        with pytest.raises(HardwareError, match="P100 was promised, but the trial runs on"):
            describe_hardware("P100", CPU, verify=True)

    def test_a_rehearsal_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAYBENCH_SIMULATED_GPU", "1")
        facts, _ = describe_hardware("P100", CPU, verify=True)
        assert not facts.verified
        assert facts.detected is not None
        assert facts.detected.startswith("simulated on ")
        facts, _ = describe_hardware("cpu:1", CPU, verify=True)
        assert facts.verified


class TestGpu:
    def test_kept(self) -> None:
        facts, missing = compare_gpu("P100", gpu(tesla_p100()), verify=True)
        assert facts.verified
        assert facts.detected == "Tesla P100-PCIE-16GB"
        assert facts.compute_capability == "6.0"
        assert set(missing) == {"memory_bytes"}

    def test_broken(self) -> None:
        with pytest.raises(HardwareError) as error:
            compare_gpu("P100", gpu(a10g()), verify=True)
        text = str(error.value)
        assert "P100 was promised, but the device calls itself 'NVIDIA A10G'" in text
        assert "allowed: A10G" in text
        assert "verify_hardware=false" in text
        facts, _ = compare_gpu("P100", gpu(a10g()), verify=False)
        assert (facts.verified, facts.detected) == (False, "NVIDIA A10G")

    def test_a_slice_is_not_the_whole(self) -> None:
        with pytest.raises(HardwareError, match="a part of a GPU"):
            compare_gpu("A100", gpu(sliced_a100()), verify=True)
        facts, _ = compare_gpu("A100", gpu(sliced_a100()), verify=False)
        assert (facts.verified, facts.mig) == (False, True)

    def test_a_label_that_slurm_alone_vouches_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAYBENCH_UNVERIFIED_HARDWARE", "1")
        facts, _ = compare_gpu("P100", gpu(tesla_p100()), verify=True)
        assert not facts.verified


def test_the_default_is_the_first_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu_names", lambda: ["NVIDIA A10G", "Tesla K80"])
    assert default_hardware() == "A10G"
    monkeypatch.setattr(devices, "gpu_names", lambda: [])
    assert default_hardware() == f"cpu:{THIS_HOST}"
    monkeypatch.setattr(devices, "gpu_names", lambda: ["GRID P4-1Q"])
    with pytest.raises(HardwareError, match="GRID P4-1Q"):
        default_hardware()


def test_affinity_limits_the_cpus() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert devices.allowed_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("cgroup", "files", "cpus"),
    [
        ("0::/job", {"job/cpu.max": "150000 100000"}, 1.5),
        ("0::/job", {"job/cpu.max": "max 100000"}, float("inf")),
        ("0::/job/step", {"job/cpu.max": "400000 100000", "job/step/cpu.max": "max 100000"}, 4),
        ("0::/", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/elsewhere", {}, float("inf")),
        (
            "3:memory:/job\n2:cpu,cpuacct:/job\n0::/",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            "2:cpu:/",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            float("inf"),
        ),
    ],
)
def test_the_cgroup_limits_the_cpus(
    tmp_path: Path, cgroup: str, files: dict[str, str], cpus: float
) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpus_module._cgroup_cpus(tmp_path / "cgroup", tmp_path / "mount") == cpus
    assert cpus_module._cgroup_cpus(tmp_path / "absent") == float("inf")
