"""The models that raybench can train.

To add one, write a file beside this one that holds a ``MODEL``, and add its name to ``BUILT_IN``;
a package of your own adds one by an entry point (``models.base``), and a spec can name a callable,
``package.module:callable``. Building imports torch; nothing else here does.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from raybench.catalog.models.base import Model, import_builder
from raybench.catalog.registry import Registry

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "MODELS",
    "build_model",
    "canonical_model",
    "check_importable",
    "find_model",
    "model_origin",
    "model_title",
]

BUILT_IN = ("torchvision",)
"""Modules beside this one, each with a ``MODEL`` or with ``MODELS``, in the order of tables."""


def _built_in() -> Iterator[Model]:
    for name in BUILT_IN:
        module = importlib.import_module(f"{__name__}.{name}")
        yield from getattr(module, "MODELS", None) or [module.MODEL]


MODELS = Registry("model", Model, "raybench.models", _built_in)
"""Every model that has a name of its own."""


def find_model(name: str) -> Model:
    """Return a model by its name, or by the callable that builds it.

    Raises:
        KeyError: nothing has that name.
        SpecError: what has it cannot be imported.
    """
    return Model(name=name, title=name, build=None) if ":" in name else MODELS[name]


def canonical_model(name: str) -> str:
    """Return the model's name as the registry spells it, or ``package.module:callable``.

    Raises:
        SpecError: no such model is known.
    """
    if ":" in name:
        return find_model(name).name
    return MODELS.canonical(name, also=", or package.module:callable")


def check_importable(name: str) -> None:
    """Import what builds a model, without building it.

    Raises:
        SpecError: it cannot be imported; the message has the file and the line of what fails.
    """
    if ":" in name:
        import_builder(name)
    else:
        find_model(name)


def model_title(name: str) -> str:
    """Return what tables call a model."""
    return MODELS.title(name)


def model_origin(name: str) -> str:
    """Return the distribution and version that a model comes from; its module for a callable."""
    module, is_callable, _ = name.partition(":")
    return module if is_callable else MODELS.origin(name)


def build_model(name: str, *, num_classes: int, image_size: int) -> nn.Module:
    """Build a model with fresh weights, drawn from torch's global random generator.

    Raises:
        SpecError: it cannot be imported, or what it is built to is no module.
    """
    return find_model(name).built(num_classes=num_classes, image_size=image_size)
