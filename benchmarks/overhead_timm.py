"""Training by raybench, and by timm's ``benchmark.py``, in turns.

Nothing of timm is part of raybench: its script runs as it is, in a process of its own, from the
checkout of https://github.com/huggingface/pytorch-image-models that the user names. This
environment has to hold what that checkout's requirements.txt names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from overhead_training import Epochs, Resident, spec_of
from overhead_turns import CLASSES, Effort, Pair, in_turns, run_command

if TYPE_CHECKING:
    import torch

    from raybench.spec.trial import TrialSpec

WARM_UP = 3
"""Untimed steps at the start of each turn, on both sides."""

FEWEST_STEPS = 5
"""The script reports its progress after each fifth of its steps."""


def train(model: str, effort: Effort) -> list[Pair]:
    """Images/s of training on one resident batch: a trial's timed epoch, and timm's script."""
    checkout = effort.timm
    assert checkout is not None
    epochs = Epochs(spec_of(model, effort))
    steps = FEWEST_STEPS * effort.steps
    batch = epochs.batches(1)
    warm_up, timed = Resident(batch * WARM_UP), Resident(batch * steps)

    def ours() -> float:
        epochs.train_s(warm_up)
        return epochs.images_per_s(timed)

    return in_turns(
        effort.pairs, ours, lambda: timm_images_per_s(checkout, epochs.spec, epochs.device, steps)
    )


def timm_images_per_s(checkout: Path, spec: TrialSpec, device: torch.device, steps: int) -> float:
    """Return the rate that timm's script reports; its start is no part of that.

    What the two sides do is the same: SGD with momentum 0.9, without Nesterov's (timm's "sgd" has
    it), ten classes, as many threads, and fp32 without TF32. That is off by an environment
    variable, because the script switches it on. On a GPU it also lets cuDNN try its algorithms,
    which raybench does not.

    Raises:
        SystemExit: the script failed.
    """
    import torch

    command: list[str | Path] = [
        sys.executable, checkout / "benchmark.py", "--bench", "train", "--no-retry",
        "--model", spec.model, "--device", device.type, "--precision", "float32",
        "--batch-size", str(spec.batch_size), "--img-size", str(spec.image_size),
        "--num-classes", str(CLASSES), "--opt", "momentum",
        "--num-warm-iter", str(WARM_UP), "--num-bench-iter", str(steps),
    ]  # fmt: skip
    threads = torch.get_num_threads()
    said = run_command(command, variables={"OMP_NUM_THREADS": threads, "NVIDIA_TF32_OVERRIDE": 0})
    result = json.loads(said.rpartition("--result\n")[2])
    if "train_samples_per_sec" not in result:
        raise SystemExit(f"timm's benchmark.py failed: {result.get('error', said)}")
    return float(result["train_samples_per_sec"])
