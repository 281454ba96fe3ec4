"""Figures as text, files and pages.

To add an output format, write ``render(parts, *, width)`` in a file of its own, and add a row to
``FORMATS``. It is given texts (``raybench.report.parts``) that it only has to escape and lay out.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raybench.errors import unknown

if TYPE_CHECKING:
    from raybench.report.parts import Part

FORMATS = {"latex": "raybench.report.latex"}
"""The module of each format that tabulate does not have, or not as well."""

DOCUMENTS = ("json", "csv")
"""Formats for programs, which hold figures instead of texts: ``raybench.report.tables``."""


def render(parts: Sequence[Part], tablefmt: str = "github", *, width: int | None = None) -> str:
    """Return parts as text of a format of ``FORMATS`` or of tabulate, of ``width`` characters."""
    if tablefmt in FORMATS:
        module = importlib.import_module(FORMATS[tablefmt])
        return str(module.render(parts, width=width))
    from raybench.report import text  # noqa: PLC0415 - tabulate is for these alone

    return text.render(parts, tablefmt, width=width)


def check_format(tablefmt: str) -> None:
    """Refuse a format that does not exist.

    Raises:
        SpecError: with the nearest.
    """
    import tabulate  # noqa: PLC0415 - the names of its formats

    known = list(dict.fromkeys([*FORMATS, *DOCUMENTS, *tabulate.tabulate_formats]))
    if tablefmt not in known:
        raise unknown("unknown format", tablefmt, known)
