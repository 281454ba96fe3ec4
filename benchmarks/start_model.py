"""The model that ``overhead.py`` uses to see when a trial's first step begins.

It notes the time at its first forward pass in the file that START_TIMES names.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from torch import Tensor, nn


def note(what: str) -> None:
    """Append a word and the time to the file of times."""
    with Path(os.environ["START_TIMES"]).open("a") as file:
        file.write(f"{what} {time.time():.6f}\n")


class StartModel(nn.Module):
    """Looks at an image's means only."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, num_classes)
        self._started = False

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, num_classes] for images [N, 3, S, S]."""
        if not self._started:
            self._started = True
            note("start")
        logits: Tensor = self.head(images.mean((2, 3)))
        return logits


def build(num_classes: int) -> nn.Module:
    """Return the model."""
    return StartModel(num_classes)
