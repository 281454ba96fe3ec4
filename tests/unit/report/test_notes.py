"""Notes lose nothing as JSON, and each has a sentence."""

from __future__ import annotations

import json
import types
from dataclasses import is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raybench.report.comparison  # noqa: F401 - for all the notes that there are
from raybench.analysis.configurations import Key
from raybench.analysis.findings import Finding
from raybench.analysis.notes import Note
from raybench.catalog.hardware import Hardware
from raybench.report.documents import as_json
from raybench.report.notes import sentence


def kinds(kind: type = Note) -> list[type]:
    """Return all types of notes but findings, whose figures are not any figures."""
    below = [each for each in kind.__subclasses__() if each is not Finding]
    return [*below, *(each for other in below for each in kinds(other))]


NAMES = st.sampled_from(["resnet18", "mnist", "my.net:build", "größe"])
SIMPLE = {
    str: st.text(max_size=9),
    bool: st.booleans(),
    int: st.integers(0, 99),
    float: st.floats(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
    Hardware: st.builds(Hardware, st.sampled_from(["P100", "cpu:2"]), device=st.sampled_from("ab")),
    Key: st.builds(Key, NAMES, NAMES, st.builds(Hardware, st.sampled_from(["K80", "cpu:1"]))),
}


def strategy(kind: Any) -> st.SearchStrategy[Any]:
    if kind in SIMPLE:
        return SIMPLE[kind]
    if get_origin(kind) is tuple:
        return st.lists(strategy(get_args(kind)[0]), min_size=1, max_size=3).map(tuple)
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of(map(strategy, get_args(kind)))
    return st.builds(kind, **{n: strategy(each) for n, each in get_type_hints(kind).items()})


def read(kind: Any, content: Any) -> Any:
    if kind is Hardware:
        return Hardware.parse(content)
    if get_origin(kind) is tuple:
        return tuple(read(get_args(kind)[0], each) for each in content)
    if kind is Key or is_dataclass(kind):
        return kind(**{n: read(each, content[n]) for n, each in get_type_hints(kind).items()})
    return content


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_a_note_is_read_back_from_json_and_has_a_sentence(kind, data):
    note = data.draw(strategy(kind))
    content = json.loads(as_json(note))
    assert content["kind"] == note.kind
    assert content["text"] == sentence(note) != ""
    assert read(kind, content) == note


def test_kinds_are_distinct():
    names = [kind.__name__ for kind in kinds()]
    assert len(names) == len(set(names)) > 15


def test_a_note_without_a_sentence_is_a_bug():
    with pytest.raises(NotImplementedError, match="no sentence for Note"):
        sentence(Note())
