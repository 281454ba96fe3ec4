"""What a node offers Ray, and whether torch can use its GPUs."""

from __future__ import annotations

import pytest

from raybench.errors import HardwareError
from raybench.launch.batch import resources
from raybench.launch.batch.resources import (
    NodeResources,
    check_torch,
    label_of_type,
    node_resources,
)
from raybench.system.kernels import GpuCheck


@pytest.mark.parametrize(
    ("gpu_type", "label"),
    [
        ("p100", "P100"),
        ("P100", "P100"),
        ("tesla_p100-pcie-16gb", "P100"),
        ("k80", "K80"),
        ("a100_80g", "A100"),
        ("rtx2080ti", "RTX2080Ti"),
        ("gpu", None),
        ("", None),
        ("p1000", None),
    ],
)
def test_label_of_type(gpu_type: str, label: str | None) -> None:
    assert label_of_type(gpu_type) == label


def test_gpus_that_say_what_they_are() -> None:
    found = node_resources(cpus=8, gpus=2, types={"gpu": 2}, names=["Tesla P100-PCIE-16GB"] * 2)
    assert found == NodeResources(cpus=8, gpus=2, label="P100", verified=True)
    assert found.custom == {"P100": 2, "raybench_node": 1}
    assert str(found) == "8 CPUs, 2 × P100"


def test_gpus_without_a_driver_are_unverified() -> None:
    found = node_resources(cpus=3, gpus=1, types={"k80": 1}, names=[])
    assert found == NodeResources(cpus=3, gpus=1, label="K80", verified=False)


@pytest.mark.parametrize("names", [[], ["Tesla P100-PCIE-16GB"]])
def test_no_gpu_that_the_scheduler_did_not_give(names: list[str]) -> None:
    found = node_resources(cpus=4, gpus=0, types={}, names=names)
    assert found == NodeResources(cpus=4)
    assert found.custom == {"raybench_node": 1}
    assert str(found) == "4 CPUs, no GPU"


@pytest.mark.parametrize(
    ("types", "names", "message"),
    [
        ({"gpu": 1}, ["Voodoo 3"], "Voodoo 3"),
        ({"": 1}, [], "no type"),
        ({}, [], "the scheduler names none"),
        ({"k80": 1}, ["Tesla K80", "Tesla P100-PCIE-16GB"], "K80 and P100"),
        ({"k80": 1, "p100": 1}, [], "K80 and P100"),
    ],
)
def test_what_cannot_be_labelled_is_refused(
    types: dict[str, int], names: list[str], message: str
) -> None:
    with pytest.raises(HardwareError, match=message):
        node_resources(cpus=1, gpus=1, types=types, names=names)


def p100(problem: str | None) -> GpuCheck:
    return GpuCheck(
        name="Tesla P100-PCIE-16GB", compute_capability=(6, 0), listed=False, problem=problem
    )


def test_torch_without_kernels_is_named_with_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = "CUDA error: no kernel image is available for execution on the device"
    monkeypatch.setattr(resources, "check_gpus", lambda: [p100(None), p100(error)])
    with pytest.raises(HardwareError) as raised:
        check_torch()
    assert "Tesla P100-PCIE-16GB (sm_60): CUDA error: no kernel image" in raised.value.message
    assert "create.sh pascal-hopper" in str(raised.value.hint)


def test_torch_with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "check_gpus", lambda: [p100(None)])
    check_torch()


def test_torch_that_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "check_gpus", list)
    with pytest.raises(HardwareError, match="sees no GPU"):
        check_torch()
