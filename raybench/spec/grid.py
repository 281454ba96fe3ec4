"""A grid of trials: its fields, its YAML, its expansion."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, field_validator

from raybench.errors import SpecError, count
from raybench.spec.trial import TrialSpec, known_keys, spec_error, trial_spec

MOST_TRIALS = 100_000
"""A larger grid is a slip of the pen: at a minute a trial it would take two months."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class GridSpec(BaseModel):
    """The product of lists: every field of a trial may be a list.

    Raises:
        SpecError: the name cannot be a folder's, or there are more trials than ``MOST_TRIALS``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = "grid"
    """the experiment's name, and of its folder in the results"""
    repeats: StrictInt = Field(default=1, ge=1)
    """how many independent repeats of each trial, pass by pass over the whole plan"""
    fields: dict[str, tuple[Any, ...]]
    """the trial's fields, each with the values to take"""
    exclude: tuple[dict[str, Any], ...] = ()
    """combinations to leave out: a trial goes when all that is named agrees"""

    @field_validator("name")
    @classmethod
    def _folder_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"name is {name!r}, which cannot be the name of the experiment's folder",
                allowed="1 to 64 letters, digits, dots, hyphens and underscores, the first of "
                "them a letter or a digit",
                hint="give it one that can be: -s name=…, or a line 'name: …'",
            )
        return name

    def model_post_init(self, _context: object) -> None:
        """Refuse a grid that is too large before its trials are made."""
        size = self.repeats * math.prod(len(values) for values in self.fields.values())
        if size > MOST_TRIALS:
            raise SpecError(
                f"the grid has {count(size, 'trial')}",
                allowed=f"at most {count(MOST_TRIALS, 'trial')}, those to exclude among them",
                hint="lower repeats, or give shorter lists",
            )

    def plan(self) -> list[TrialSpec]:
        """Return the trials in running order.

        Repeats run pass by pass, so that a slow drift of the machine falls on all alike; the
        hardware varies fastest, so that none waits behind another's queue.

        Raises:
            SpecError: a combination cannot work, or nothing is left.
        """
        names = sorted(self.fields, key=lambda name: name == "hardware")
        combinations = [
            dict(zip(names, values, strict=True))
            for values in itertools.product(*(self.fields[name] for name in names))
        ]
        wanted = [c for c in combinations if not any(_agrees(c, rule) for rule in self.exclude)]
        if not wanted:
            raise SpecError("the grid holds no trial", hint="exclude less, or add values")
        repeats = range(self.repeats)
        trials = (trial_spec({**fields, "repeat": n}) for n in repeats for fields in wanted)
        return list(dict.fromkeys(trials))


def _agrees(combination: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    return all(
        _folded(combination.get(name)) in map(_folded, _as_tuple(wanted))
        for name, wanted in rule.items()
    )


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def grid_spec(content: Mapping[str, Any], where: str = "the grid") -> GridSpec:
    """Build a GridSpec from the flat mapping that a grid's YAML holds.

    Raises:
        SpecError: a key is unknown or a value is wrong.
    """
    own = ("name", "repeats", "exclude")
    fields = {name: _as_tuple(value) for name, value in content.items() if name not in own}
    allowed = [name for name in TrialSpec.model_fields if name != "repeat"]
    known_keys(fields, [*own, *allowed], where)
    for name in ("model", "dataset", "hardware"):
        if not fields.get(name):
            raise SpecError(f"{where} has no {name}", hint=f"add a line '{name}: […]'")
    exclude = content.get("exclude", ())
    exclude = [exclude] if isinstance(exclude, Mapping) else exclude or ()
    for rule in exclude:
        if not isinstance(rule, Mapping):
            raise SpecError(f"{where}: exclude holds {rule!r}", allowed="mappings of field: value")
        known_keys(rule, allowed, f"exclude of {where}")
    given = {name: content[name] for name in ("name", "repeats") if name in content}
    for name, values in fields.items():
        if not values:
            raise SpecError(f"{where}: {name} is an empty list", hint="give at least one value")
    try:
        return GridSpec(**given, fields=fields, exclude=tuple(map(dict, exclude)))
    except ValidationError as error:
        raise spec_error(error) from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        first = {key.value: key for key in reversed(names)}
        for key in names:
            if key is not first[key.value]:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} stands here a second time",
                    problem_mark=key.start_mark,
                )
        return super().construct_mapping(node, deep)


_BROKEN = (yaml.YAMLError, ValueError, RecursionError)
"""What text that is no YAML raises; ValueError for a date or a number that cannot be."""


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)


def load_grid(path: Path, overrides: Mapping[str, Any] | None = None) -> GridSpec:
    """Read a grid from YAML, with ``overrides`` in place of its own values.

    Raises:
        SpecError: the file is absent, broken (the message has the line), or holds a wrong value.
    """
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
    except _BROKEN as error:
        mark = getattr(error, "problem_mark", None)
        line = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(f"{line}: not valid YAML: {problem}", hint="mend that line") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path} holds no mapping", allowed="lines of 'field: value'")
    return grid_spec({"name": path.stem, **content, **(overrides or {})}, str(path))


def grid_yaml(grid: GridSpec) -> str:
    """Return the YAML of a grid, as ``load_grid`` reads it."""
    lists = {name: list(values) for name, values in grid.fields.items()}
    content = {"name": grid.name, **lists, "repeats": grid.repeats}
    if grid.exclude:
        content["exclude"] = list(grid.exclude)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Turn ``["epochs=1", "model=[googlenet, resnet18]"]`` into a mapping; values are YAML.

    Raises:
        SpecError: an entry is not ``key=value``, or its value is not valid YAML.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise SpecError(f"cannot read the setting {setting!r}", allowed="-s key=value")
        try:
            parsed[key.strip().replace("-", "_")] = _parse(value)
        except _BROKEN:
            raise SpecError(f"the value of {setting!r} is not valid YAML") from None
    return parsed
