"""How images reach the model: two pipelines behind one interface.

``dataloader`` is the ordinary way: PIL and torchvision transforms, image by image, in DataLoader
workers. ``device`` keeps the dataset on the device as uint8, and resizes, expands and normalises
by the batch. Both give the same images, in the same order.
"""

from __future__ import annotations

import torch

from raybench.catalog.datasets import Split
from raybench.spec.trial import ResolvedSpec
from raybench.trial.input.loader import LoaderInput
from raybench.trial.input.pipeline import EpochOrder, InputPipeline
from raybench.trial.input.resident import ResidentInput

__all__ = ["InputPipeline", "make_input"]


def make_input(
    spec: ResolvedSpec, split: Split, device: torch.device, *, train: bool
) -> InputPipeline:
    """Return the pipeline that the spec asks for.

    Args:
        spec: gives the pipeline, batch size, image size, memory format, workers and seed.
        split: the images, after limits.
        device: where the model is.
        train: shuffle the images, anew in each epoch; otherwise they keep their order.
    """
    order = EpochOrder(len(split), spec.seed + spec.repeat, shuffled=train)
    kind = ResidentInput if spec.input_pipeline == "device" else LoaderInput
    return kind(spec, split, device, order)
