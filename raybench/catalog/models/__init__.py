"""The models that raybench can train.

To add one, write a file beside this one that holds a ``MODEL``, and add its name to ``BUILT_IN``;
a package of your own adds one by an entry point (``models.base``), and a spec can name a callable,
``package.module:callable``. Building imports torch; nothing else here does.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from raybench.catalog.models.base import Model
from raybench.catalog.registry import Registry

BUILT_IN = ("torchvision",)
"""Modules beside this one, each with a ``MODEL`` or with ``MODELS``, in the order of tables."""


def _built_in() -> Iterator[Model]:
    for name in BUILT_IN:
        module = importlib.import_module(f"{__name__}.{name}")
        yield from getattr(module, "MODELS", None) or [module.MODEL]


class _Models(Registry[Model]):
    """Those that have a name of their own, and any callable by ``package.module:callable``."""

    def __getitem__(self, name: str) -> Model:
        return (
            Model(name=name, title=name, build=None) if ":" in name else super().__getitem__(name)
        )

    def __contains__(self, name: object) -> bool:
        return ":" in str(name) or super().__contains__(name)

    def canonical(self, name: str, also: str = ", or package.module:callable") -> str:
        return self[name].name if ":" in name else super().canonical(name, also)

    def origin(self, name: str) -> str:
        """Return the distribution and version that it comes from; its module for a callable."""
        module, is_callable, _ = name.partition(":")
        return module if is_callable else super().origin(name)


MODELS = _Models("model", Model, "raybench.models", _built_in)
"""Every model by its name."""
