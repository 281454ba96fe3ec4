"""Models that train in milliseconds, and models that go wrong in every way there is."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """One convolution and one linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=2)
        self.head = nn.Linear(8 * 9, num_classes)

    def forward(self, images: Tensor) -> Any:
        pooled = nn.functional.adaptive_avg_pool2d(self.features(images).relu(), 3)
        return self.head(pooled.flatten(1))


def small(num_classes: int) -> nn.Module:
    return Small(num_classes)


class WithHeads(Small):
    """Returns its logits and two auxiliary heads' in training."""

    def forward(self, images: Tensor) -> Any:
        logits = super().forward(images)
        return (logits, 2 * logits, 3 * logits) if self.training else logits


def with_heads(num_classes: int) -> nn.Module:
    return WithHeads(num_classes)


class Raises(Small):
    def forward(self, images: Tensor) -> Any:
        raise ValueError("this model raises")


def raises(num_classes: int) -> nn.Module:
    return Raises(num_classes)


class Diverges(Small):
    def forward(self, images: Tensor) -> Any:
        return super().forward(images) * float("nan")


def diverges(num_classes: int) -> nn.Module:
    return Diverges(num_classes)


class OutOfMemory(Small):
    def forward(self, images: Tensor) -> Any:
        return torch.empty(2**50) + super().forward(images)


def out_of_memory(num_classes: int) -> nn.Module:
    return OutOfMemory(num_classes)


class Killed(Small):
    def forward(self, images: Tensor) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def killed(num_classes: int) -> nn.Module:
    return Killed(num_classes)


class Hangs(Small):
    def forward(self, images: Tensor) -> Any:
        while True:
            time.sleep(3600)


def hangs(num_classes: int) -> nn.Module:
    return Hangs(num_classes)


class Chatty(Small):
    """Prints, and reads a value back from the device, at every step."""

    def forward(self, images: Tensor) -> Any:
        print("mean", images.mean().item())
        return super().forward(images)


def chatty(num_classes: int) -> nn.Module:
    return Chatty(num_classes)


class Blind(Small):
    """Sees nothing, and so learns nothing but the classes' shares."""

    def forward(self, images: Tensor) -> Any:
        return super().forward(torch.zeros_like(images))


def blind(num_classes: int) -> nn.Module:
    return Blind(num_classes)


class Endless(Small):
    """Takes its time in the second epoch, until it is interrupted."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.evaluations = 0

    def train(self, mode: bool = True) -> Any:
        # Calls: build, warm-up (train, eval), epoch 1 (train, eval), epoch 2 (train) …
        self.evaluations = getattr(self, "evaluations", 0) + (not mode)
        return super().train(mode)

    def forward(self, images: Tensor) -> Any:
        if self.training and self.evaluations >= 2:
            time.sleep(0.05)
        return super().forward(images)


def endless(num_classes: int) -> nn.Module:
    return Endless(num_classes)


class KilledInProfiling(Endless):
    """Dies when it is trained after its second epoch was evaluated."""

    def forward(self, images: Tensor) -> Any:
        if self.training and self.evaluations >= 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return Small.forward(self, images)


def killed_in_profiling(num_classes: int) -> nn.Module:
    return KilledInProfiling(num_classes)


def no_module(num_classes: int) -> Any:
    return num_classes


class Hungry(Small):
    """Asks for a gigabyte for each image, and does not touch it."""

    def forward(self, images: Tensor) -> Any:
        held = torch.empty(len(images) * 2**30, dtype=torch.uint8)
        return super().forward(images) + 0 * len(held)


def hungry(num_classes: int) -> nn.Module:
    return Hungry(num_classes)


class WrongInReducedPrecision(Small):
    """Computes something else under autocast."""

    def forward(self, images: Tensor) -> Any:
        wrong = torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled()
        return super().forward(images) * (0.5 if wrong else 1)


def wrong_in_reduced_precision(num_classes: int) -> nn.Module:
    return WrongInReducedPrecision(num_classes)
