"""A model of one convolution."""

from __future__ import annotations

from torch import Tensor, nn

from raybench.catalog.models.base import Model


class TinyNet(nn.Module):
    """One convolution, its mean, and one linear layer."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, num_classes] of images [N, 3, S, S]."""
        logits: Tensor = self.head(self.features(images).relu().mean((2, 3)))
        return logits


def build(num_classes: int) -> nn.Module:
    """Return the model with fresh weights."""
    return TinyNet(num_classes)


MODEL = Model(name="tinynet", title="TinyNet", build=build, min_image_size=8, gflops=(8, 1e-5))
