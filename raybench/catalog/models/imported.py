"""Models that a spec names as ``package.module:callable``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from raybench.catalog.models.base import Model, call_builder
from raybench.catalog.registry import reason
from raybench.errors import SpecError

if TYPE_CHECKING:
    from torch import nn

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def imported_model(name: str) -> Model:
    """Return the model that a callable builds, which is imported no sooner than it is built.

    Raises:
        SpecError: it is not the name of a callable.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"model {name!r} is not the name of a callable",
            allowed="package.module:callable, such as my_models.small:build",
        )

    def build(*, num_classes: int, image_size: int) -> nn.Module:
        return call_builder(import_builder(name), num_classes=num_classes, image_size=image_size)

    return Model(name=name, title=name, build=build, custom=True)


def import_builder(name: str) -> Callable[..., nn.Module]:
    """Import a callable.

    Raises:
        SpecError: it cannot be imported; the message has the file and the line of what fails.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:
        raise SpecError(
            f"model {name}: cannot import {module}: {reason(error, module)}",
            hint="mend it, or put its folder on PYTHONPATH, on every node",
        ) from error
    if not callable(found):
        raise SpecError(f"model {name}: {module} has no callable {attribute!r}")
    builder: Callable[..., nn.Module] = found
    return builder
