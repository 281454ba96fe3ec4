"""What can go wrong, in words for the person who has to mend it.

RaybenchError
├── SpecError            a spec, a grid or an option is wrong
├── DataError            a dataset is absent or damaged
├── HardwareError        the hardware is not what the label promises, or is not there
├── RecordError          a record cannot be read
│   └── NewerRecordError it is of a newer version, and is never overwritten
├── ResultsError         a results folder cannot be written or holds nothing to read
├── TrialFailed          a trial could not be measured; its record says why
└── ClusterError         Ray or Slurm is not in the state that the command needs
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class RaybenchError(Exception):
    """An error that the user can act on.

    Args:
        message: what is wrong, and where.
        allowed: what would be right, if that can be listed.
        hint: what to do next, a command where there is one.
    """

    exit_code = 2
    kind = "error"

    def __init__(
        self, message: str, *, allowed: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.allowed = allowed
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error travel from one process to another."""
        return _travelled, (type(self), self.__dict__)

    def __str__(self) -> str:
        lines = [self.message]
        if self.allowed:
            lines.append(f"allowed: {self.allowed}")
        if self.hint:
            lines.append(f"hint:    {self.hint}")
        return "\n".join(lines)


class SpecError(RaybenchError):
    """A spec, a grid or an option is wrong."""

    kind = "spec"


class DataError(RaybenchError):
    """A dataset is absent or damaged."""

    kind = "data"


class HardwareError(RaybenchError):
    """The hardware is not what the label promises, or is not there."""

    kind = "hardware"


class RecordError(RaybenchError):
    """A record cannot be read, or is of a newer version."""

    kind = "record"


class NewerRecordError(RecordError):
    """A record was written by a newer raybench; it is never overwritten."""


class ResultsError(RaybenchError):
    """A results folder cannot be written, or holds nothing to read."""

    kind = "results"


class TrialFailed(RaybenchError):
    """A trial could not be measured; its record says why.

    Args:
        kind: one word for the record's ``error.kind``, such as ``diverged`` or ``out_of_memory``.
    """

    exit_code = 1

    def __init__(self, kind: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


class ClusterError(RaybenchError):
    """Ray or Slurm is not in the state that the command needs."""

    kind = "cluster"


def _travelled(kind: type[RaybenchError], content: dict[str, Any]) -> RaybenchError:
    error = kind.__new__(kind, content["message"])
    error.__dict__.update(content)
    return error


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as ``did you mean 'resnet18'?``, or an empty string."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    match = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return f"did you mean {by_folded[match[0]]!r}?" if match else ""


def unknown(what: str, name: str, known: Iterable[str], also: str = "") -> SpecError:
    """Return the error for a name that is not known: with the nearest, all others, and ``also``."""
    names = list(known)
    return SpecError(
        f"{what} {name!r}. {nearest(name, names)}".rstrip(), allowed=", ".join(names) + also
    )


def first_lines(lines: Sequence[str], most: int) -> str:
    """Return lines to stand below a message, the first few and the number of the others."""
    more = [f"… and {len(lines) - most} more"] if len(lines) > most else []
    return "".join(f"\n{line}" for line in (*lines[:most], *more))


def count(number: int, noun: str) -> str:
    """Return ``1 trial`` or ``12,000 trials``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str, keep: str = "") -> str:
    """Return a text with control characters and line breaks escaped, so that it cannot deceive.

    A terminal obeys some of them: it would change its title, or what stands above.

    Args:
        text: whatever somebody else wrote.
        keep: characters that stay as they are, such as line breaks.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
