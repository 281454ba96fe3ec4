"""What can be measured, by name: what comes with raybench, and what installed packages add to it.

A package adds by an entry point, such as ``flowers = "my_lab.flowers:DATASET"`` in the group
``raybench.datasets``. Entry points are read only when a name is not built in, or all are listed.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, TypeVar

from raybench.errors import SpecError, unknown

BUILT_IN = "raybench"
"""Origin of what comes with raybench: without a version, which is not what tells it apart."""

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
"""What a name looks like: it becomes part of file names, and is found in any case of letters."""


def check_name(name: str) -> None:
    """Raise SpecError for what cannot be a name."""
    if not NAME.fullmatch(name):
        raise SpecError(
            f"{name!r} cannot be a name",
            allowed="lower-case letters, digits, '_', '-' and '.', beginning with one of the first",
        )


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Registry(Mapping[str, T]):
    """All of one kind by their names: those built in, in their order, then those of packages.

    Args:
        kind: what one of them is called in messages.
        of: the class that each is an instance of.
        group: of the entry points that packages add more by.
        built_in: returns those that come with raybench; called when the first is needed.
    """

    def __init__(
        self, kind: str, of: type[T], group: str, built_in: Callable[[], Iterable[T]]
    ) -> None:
        self.kind = kind
        self._of = of
        self._group = group
        self._built_in = built_in
        self._loaded: dict[str, T] = {}

    @functools.cached_property
    def built_in(self) -> dict[str, T]:
        """Those that come with raybench."""
        return {item.name: item for item in self._built_in()}

    @functools.cached_property
    def _entry_points(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in sorted(entry_points(group=self._group), key=lambda point: point.name):
            found.setdefault(point.name.casefold(), []).append(point)
        return found

    def __getitem__(self, name: str) -> T:
        """Return what has that name.

        Raises:
            KeyError: nothing has.
            SpecError: two packages use the name, or what has it cannot be imported.
        """
        if name in self.built_in:
            return self.built_in[name]
        if name not in self._loaded:
            self._check_single(name)
            self._loaded[name] = self._load(self._entry_points[name][0])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._entry_points

    def __iter__(self) -> Iterator[str]:
        """Go through all names.

        Raises:
            SpecError: a package uses a name that is built in, or that another package uses.
        """
        for name in self._entry_points:
            self._check_single(name)
        return iter([*self.built_in, *self._entry_points])

    def __len__(self) -> int:
        return len(self.built_in) + len(self._entry_points)

    def canonical(self, name: str, also: str = "") -> str:
        """Return a name, given in any case of letters, as the registry spells it.

        Raises:
            SpecError: nothing has that name, which would be allowed, and ``also``.
        """
        folded = name.casefold()
        if folded in self:
            return folded
        raise unknown(f"unknown {self.kind}", name, [*self.built_in, *self._entry_points], also)

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Return names, each once: those built in in their order, then any others by alphabet."""
        place = {name: i for i, name in enumerate(self.built_in)}
        return sorted(set(names), key=lambda name: (place.get(name, len(place)), name))

    def title(self, name: str) -> str:
        """Return what tables call it: its name where it is not installed here, or is broken."""
        try:
            return self[name].title
        except (KeyError, SpecError):
            return name

    def origin(self, name: str) -> str:
        """Return the distribution and version that a name comes from; ``raybench`` if built in.

        Raises:
            KeyError: nothing has that name.
        """
        return BUILT_IN if name in self.built_in else _origin(self._entry_points[name][0])

    def _check_single(self, name: str) -> None:
        origins = [BUILT_IN] * (name in self.built_in) + list(
            map(_origin, self._entry_points[name])
        )
        if len(origins) > 1:
            raise SpecError(
                f"the {self.kind} {name!r} is in both {' and '.join(origins)}",
                hint="uninstall one of them, or give its entry point another name",
            )

    def _load(self, point: EntryPoint) -> T:
        whose = f"the {self.kind} {point.name!r} of {_origin(point)}"
        try:
            item = point.load()
        except Exception as error:
            raise SpecError(
                f"{whose} cannot be imported from {point.value}: {reason(error, point.module)}",
                hint="mend it, or uninstall the package",
            ) from error
        if not isinstance(item, self._of):
            raise SpecError(
                f"{whose} is none: {point.value} is of the type {type(item).__name__}",
                allowed=f"a {self._of.__name__} of {self._of.__module__}",
            )
        if item.name != point.name:
            raise SpecError(
                f"{whose} calls itself {item.name!r} in {point.value}",
                hint="give the entry point and what it names the same name",
            )
        return item


def _origin(point: EntryPoint) -> str:
    assert point.dist is not None, "an entry point that was found belongs to a distribution"
    return f"{point.dist.name} {point.dist.version}"


def reason(error: Exception, module: str) -> str:
    """Say why importing a module failed, with the file and the line of it or of its package."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    said = f"{type(error).__name__}: {error}"
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return said
    own = [Path(folder) for folder in spec.submodule_search_locations or [spec.origin or "/none"]]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if any(folder in (file, *file.parents) for folder in own):
            return f"{said} ({file}, line {frame.lineno})"
    return said
