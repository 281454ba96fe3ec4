"""Plausible records for the tests of the analysis, built by the real models."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from raybench.record.schema import TrialRecord
from raybench.record.store import Experiment
from raybench.spec.trial import trial_spec

DEVICES = {
    "K80": "Tesla K80",
    "P100": "Tesla P100-PCIE-16GB",
    "A100": "NVIDIA A100-SXM4-40GB",
}

STEP_MS = {"K80": 60.0, "P100": 22.0, "A100": 9.0, "cpu:1": 400.0, "cpu:2": 220.0}
"""Milliseconds of a training step of ResNet-18 with batch 10 on each hardware."""

RELATIVE_FLOPS = {"resnet18": 1.0, "googlenet": 1.6}
FLOPS_PER_IMAGE = 10.9e9


def make_record(
    model: str = "resnet18",
    dataset: str = "mnist",
    hardware: str = "P100",
    *,
    slowdown: float = 1.0,
    noise: float = 0.01,
    changes: dict[str, Any] | None = None,
    **spec_fields: Any,
) -> TrialRecord:
    """Make a completed record whose figures agree with one another.

    ``slowdown`` multiplies its times, ``noise`` is their relative spread over repeats, and
    ``changes`` replaces fields by their dotted names, such as ``{"environment.torch": "2.0.1"}``.
    """
    fields = {"epochs": 3, "train_limit": 1000, "eval_limit": 100, **spec_fields}
    spec = trial_spec({"model": model, "dataset": dataset, "hardware": hardware, **fields})
    on_gpu = spec.cpu_threads is None
    batch_size = spec.resolved().batch_size
    rng = random.Random(spec.trial_id)
    scale = slowdown * rng.lognormvariate(0, noise) if noise else slowdown
    compute_ms = STEP_MS[spec.hardware] * RELATIVE_FLOPS.get(spec.model, 1.0) * scale
    data_ms = 6.0 * scale if on_gpu else 0.05 * compute_ms
    step_ms = compute_ms + data_ms
    train_images, eval_images = spec.train_limit or 60_000, spec.eval_limit or 10_000
    train_s = train_images / batch_size * step_ms / 1000
    eval_s = eval_images / batch_size * step_ms / 3000
    epochs = [
        {
            "epoch": number,
            "train_time_s": train_s * (1 + 0.002 * rng.random()),
            "eval_time_s": eval_s,
            "train_images": train_images,
            "eval_images": eval_images,
            "train_loss": 1.0 / number,
            "eval_loss": 1.1 / number,
            "accuracy": 1 - 0.2 / number - 0.01 * rng.random(),
        }
        for number in range(1, spec.epochs + 1)
    ]

    def quartiles(middle: float) -> dict[str, float]:
        return {"p25": 0.97 * middle, "p50": middle, "p75": 1.04 * middle}

    train_total = sum(epoch["train_time_s"] for epoch in epochs)
    content: dict[str, Any] = {
        "trial_id": spec.trial_id,
        "experiment": "unit",
        "started_at": f"2026-01-{spec.repeat % 28 + 1:02}T12:00:00Z",
        "spec": spec.model_dump(),
        "status": "completed",
        "running_time_s": sum(e["train_time_s"] + e["eval_time_s"] for e in epochs),
        "setup_time_s": 2.0,
        "warmup_time_s": 1.0,
        "epochs": epochs,
        "images_per_s": train_images * spec.epochs / train_total,
        "compute_only_images_per_s": batch_size / compute_ms * 1000,
        "step_ms": {
            **quartiles(step_ms),
            "p05": 0.94 * step_ms,
            "p95": 1.2 * step_ms,
            "count": train_images // batch_size * spec.epochs,
        },
        "phases_ms": {
            "data_wait": quartiles(0.8 * data_ms),
            "transfer": quartiles(0.2 * data_ms) if on_gpu else None,
            "preprocess": None,
            "forward": quartiles(0.34 * compute_ms),
            "backward": quartiles(0.6 * compute_ms),
            "optimizer": quartiles(0.06 * compute_ms),
        },
        "memory": {
            "peak_allocated_bytes": 900 * 2**20 if on_gpu else None,
            "peak_reserved_bytes": 1200 * 2**20 if on_gpu else None,
            "peak_host_bytes": 3 * 2**30,
        },
        "device_telemetry": _telemetry(train_total) if on_gpu else None,
        "mfu": 0.2 if on_gpu else None,
        "contention": {"co_located_trials": 0, "load_average": 1.2},
        "dataset": {
            "name": spec.dataset,
            "fingerprint": f"{spec.dataset}-{train_images}-{eval_images}",
            "train_images": train_images,
            "eval_images": eval_images,
        },
        "model": {
            "name": spec.model,
            "parameters": 11_181_642,
            "flops_per_image": FLOPS_PER_IMAGE * RELATIVE_FLOPS.get(spec.model, 1.0),
            "aux_loss_weight": spec.aux_loss_weight,
        },
        "hardware": {
            "requested": spec.hardware,
            "detected": DEVICES[spec.hardware] if on_gpu else f"Intel Xeon, {spec.hardware}",
            "verified": True,
            "compute_capability": "6.0" if on_gpu else None,
        },
        "environment": _environment(spec.cpu_threads or 8, on_gpu),
        "segments": [
            {"hostname": "c0001", "started_at": "2026-01-01T12:00:00Z"}
            | {"first_epoch": 1, "last_epoch": spec.epochs}
        ],
        "missing": {"phases_ms.preprocess": "the loader does it"},
    }
    for name, value in (changes or {}).items():
        *parents, leaf = name.split(".")
        part = content
        for parent in parents:
            part = part[parent]
        part[leaf] = value
    segment = content["segments"][0]
    segment.update({name: content.pop(name) for name in ("hardware", "environment", "contention")})
    return TrialRecord.model_validate(content)


def make_tuned(
    *arguments: Any,
    precision: str = "fp32",
    memory_format: str = "contiguous",
    execution: str = "eager",
    batch_size: int = 10,
    **options: Any,
) -> TrialRecord:
    """Make a record of a trial with ``execution: best`` and what a tune-up chose for it."""
    chosen = {
        "precision": precision,
        "memory_format": memory_format,
        "execution": execution,
        "fused_optimizer": False,
        "cudnn_benchmark": False,
        "batch_size": batch_size,
    }
    attempt = {"images_per_s": 450.0, "first_loss": 2.3, "loss_fall": 0.4, "outcome": "chosen"}
    tuned = {
        "chosen": chosen,
        "reason": "the fastest",
        "candidates": [{"settings": chosen, **attempt}],
        "time_s": 60.0,
        "hostname": "c0001",
    }
    record = make_record(*arguments, **options)
    content = record.model_dump()
    content["spec"] = {**content["spec"], "execution": "best"}
    if batch_size != 10:
        content["spec"]["batch_size"] = "largest"
    return TrialRecord.model_validate({**content, "autotune": tuned})


def make_failed(
    model: str = "resnet18",
    dataset: str = "mnist",
    hardware: str = "P100",
    *,
    status: str = "failed",
    kind: str = "out_of_memory",
    message: str = "CUDA out of memory\nlower batch_size",
    **spec_fields: Any,
) -> TrialRecord:
    """Make the record of a trial that failed or was interrupted before it measured anything."""
    fields = {"epochs": 3, "train_limit": 1000, "eval_limit": 100, **spec_fields}
    spec = trial_spec({"model": model, "dataset": dataset, "hardware": hardware, **fields})
    return TrialRecord.model_validate(
        {
            "trial_id": spec.trial_id,
            "experiment": "unit",
            "started_at": "2026-01-01T12:00:00Z",
            "spec": spec.model_dump(),
            "status": status,
            "error": {"kind": kind, "message": message, "traceback": None},
        }
    )


def make_grid(repeats: int = 3, **options: Any) -> list[TrialRecord]:
    """Make the records of two models and two datasets on a K80 and a P100."""
    return [
        make_record(model, dataset, hardware, repeat=repeat, **options)
        for repeat in range(repeats)
        for model in ("googlenet", "resnet18")
        for dataset in ("cifar10", "mnist")
        for hardware in ("P100", "K80")
    ]


def write_records(root: Path, records: list[TrialRecord], name: str = "unit") -> Path:
    """Write records as an experiment's folder, and return it."""
    experiment = Experiment(root / name)
    folder = experiment.folder / "records"
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        text = record.model_dump_json(indent=1)
        (folder / f"{record.trial_id}.json").write_text(text, encoding="utf-8")
    return experiment.folder


def _telemetry(seconds: float) -> dict[str, Any]:
    def around(mean: float) -> dict[str, float]:
        return {"mean": mean, "min": 0.8 * mean, "max": 1.1 * mean}

    return {
        "energy_j": 180 * seconds,
        "energy_method": "integrated_power",
        "power_w": around(180.0),
        "utilization": around(0.85),
        "sm_clock_mhz": around(1300.0),
        "memory_clock_mhz": around(715.0),
        "temperature_c": around(60.0),
        "throttle_reasons": [],
        "samples": int(10 * seconds) + 1,
    }


def _environment(threads: int, on_gpu: bool) -> dict[str, Any]:
    return {
        "hostname": "c0001",
        "torch": "2.0.1+cu117",
        "torch_commit": None,
        "torchvision": "0.15.2",
        "cuda": "11.7",
        "cudnn": "8.5.0",
        "driver": "470.57" if on_gpu else None,
        "ray": "2.52.0",
        "python": "3.11.4",
        "raybench": "0.1.0",
        "commit": None,
        "os": "Linux 5.14",
        "cpu": "Intel Xeon E5-2680 v4",
        "cpu_count": 28,
        "allowed_cpus": 4,
        "host_memory_bytes": 128 * 2**30,
        "threads": threads,
        "affinity": list(range(4)),
        "slurm": None,
        "flags": {"cudnn_benchmark": False, "cudnn_allow_tf32": False},
        "variables": {},
    }


def make_step(
    hardware: str,
    *,
    step_ms: float,
    compute_ms: float | None,
    model: str = "resnet18",
    repeat: int = 0,
    **phases_ms: float,
) -> TrialRecord:
    """Make a record whose training step goes where it is told; batch 10, without noise."""
    names = ("data_wait", "transfer", "preprocess", "forward", "backward", "optimizer")
    phases = {
        name: {"p25": phases_ms[name], "p50": phases_ms[name], "p75": phases_ms[name]}
        if name in phases_ms
        else None
        for name in names
    }
    changes = {
        "images_per_s": 10_000 / step_ms,
        "compute_only_images_per_s": 10_000 / compute_ms if compute_ms else None,
        "phases_ms": phases if phases_ms else None,
    }
    return make_record(model, hardware=hardware, repeat=repeat, noise=0, changes=changes)
