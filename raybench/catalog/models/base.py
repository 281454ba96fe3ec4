"""What a model is: its name, the images that it takes, how it is built.

A package of the user's own adds one by an object such as ::

    from raybench.catalog.models.base import Model

    MODEL = Model(name="tinynet", title="TinyNet", build=build, min_image_size=8)

and an entry point of the group ``raybench.models`` that names it. Specs are checked with this
module, so it does not import torch; nor should a module with a ``MODEL``, outside ``build``.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raybench.catalog.registry import check_name, reason
from raybench.errors import SpecError

if TYPE_CHECKING:
    from torch import nn


_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model before it is built.

    Attributes:
        name: what specs call it.
        title: what tables call it.
        build: is given ``num_classes``, and ``image_size`` if it has a parameter of that name;
            returns a module from images [N, 3, S, S] to logits [N, num_classes], in training
            optionally a tuple of logits and its auxiliary heads'. Its weights are drawn from
            torch's global random generator. None for a callable that a spec names, of which
            nothing else is known.
        min_image_size: the smallest height and width in pixels that it can be trained on.
        image_size_multiple: the image size has to be a multiple of this.
        aux_loss_weight: the weight of its auxiliary heads' losses, or None if it has no heads.
        gflops: an image size, and the 10^9 operations of a training step for one image of it
            (a multiplication and an addition are two); plans estimate with them.
    """

    name: str
    title: str
    build: Callable[..., nn.Module] | None
    min_image_size: int = 1
    image_size_multiple: int = 1
    aux_loss_weight: float | None = None
    gflops: tuple[int, float] | None = None

    def __post_init__(self) -> None:
        if not self.custom:
            check_name(self.name)
        elif not _CALLABLE.fullmatch(self.name):
            raise SpecError(
                f"model {self.name!r} is not the name of a callable",
                allowed="package.module:callable, such as my_models.small:build",
            )

    @property
    def custom(self) -> bool:
        """Whether it is a callable that a spec names."""
        return self.build is None

    def smallest_above(self, image_size: int) -> int:
        """Return the smallest image size not below ``image_size`` that the model can take."""
        multiple = self.image_size_multiple
        wanted = max(self.min_image_size, image_size)
        return -(-wanted // multiple) * multiple

    def training_flops(self, image_size: int) -> float | None:
        """Return the operations of a training step for one image, about; None if not known.

        They grow with the number of pixels, as those of convolutions do. What a trial really
        needs is counted in the trial, and stands in its record.
        """
        if self.gflops is None:
            return None
        size, gflops = self.gflops
        return gflops * 1e9 * (image_size / size) ** 2

    def builder(self) -> Callable[..., nn.Module]:
        """Return what builds it, which is imported if a spec names it.

        Raises:
            SpecError: it cannot be imported; the message has the file and the line of what fails.
        """
        if self.build is not None:
            return self.build
        module, _, attribute = self.name.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except Exception as error:
            raise SpecError(
                f"model {self.name}: cannot import {module}: {reason(error, module)}",
                hint="mend it, or put its folder on PYTHONPATH, on every node",
            ) from error
        if not callable(found):
            raise SpecError(f"model {self.name}: {module} has no callable {attribute!r}")
        builder: Callable[..., nn.Module] = found
        return builder

    def built(self, *, num_classes: int, image_size: int) -> nn.Module:
        """Build the model with fresh weights, drawn from torch's global random generator.

        Raises:
            SpecError: it cannot be imported, or what it is built to is no module.
        """
        from torch import nn  # noqa: PLC0415 - specs are checked without torch

        build = self.builder()
        takes_size = "image_size" in inspect.signature(build).parameters
        model = build(num_classes=num_classes, **({"image_size": image_size} if takes_size else {}))
        if not isinstance(model, nn.Module):
            raise SpecError(
                f"model {self.name}: its builder returned {type(model).__name__}",
                allowed="a torch.nn.Module",
            )
        return model
