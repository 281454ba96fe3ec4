"""What people read instead of the names and figures that programs use: the only place for it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from raybench.analysis.cells import Cell
from raybench.analysis.configurations import Key
from raybench.analysis.quantities import Quantity
from raybench.analysis.tables import Table
from raybench.catalog.datasets import DATASETS
from raybench.catalog.models import MODELS

MOST_NAMES = 8
"""Cells and trials that a sentence names before it counts the rest."""

_STATE_TEXT = {"absent": "–", "unmeasured": "n/a"}


dataset_title = DATASETS.title
"""What tables call a dataset."""


def cell_title(key: Key, configuration: str = "") -> str:
    """Return ``ResNet-18 · MNIST · P100``, and the configuration where there are several."""
    names = (MODELS.title(key.model), dataset_title(key.dataset), str(key.hardware), configuration)
    return " · ".join(filter(None, names))


def table_title(table: Table) -> str:
    """Return ``Speedup over K80 — batch_size 64``."""
    unit = table.quantity.unit
    shown = f" ({unit})" if unit and unit != "×" else ""
    over = f" over {table.baseline}" if table.baseline else ""
    configuration = f" — {table.configuration}" if table.configuration else ""
    return f"{table.quantity.title}{shown}{over}{configuration}"


def listed(titles: Iterable[str], most: int = MOST_NAMES) -> str:
    """Join titles, the first few by name and the others by number."""
    names = list(titles)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def cell_text(quantity: Quantity, cell: Cell | None) -> str:
    """Return a cell rounded to what its interval supports, or the reason why it is empty."""
    if cell is None or cell.state != "measured" or cell.value is None:
        return "–" if cell is None else _STATE_TEXT.get(cell.state, cell.state)
    percent = "%" if quantity.unit == "%" else ""
    scale = 100 if percent else 1
    value = cell.value * scale
    if cell.low is None or cell.high is None:
        return f"{value:.{_decimals_of_single(value, quantity)}f}{percent}"
    low, high = cell.low * scale, cell.high * scale
    if quantity.less is not None:
        mark = " ≈" if cell.verdict == "not distinguishable" else ""
        return interval_text(value, low, high, quantity.decimals) + mark
    decimals = decimals_of((high - low) / 2, quantity.decimals)
    return f"{value:.{decimals}f}{percent} ± {(high - low) / 2:.{decimals}f}"


def interval_text(value: float, low: float, high: float, usual: int) -> str:
    """Return ``2.61 [2.55, 2.67]``, rounded to what the interval supports."""
    decimals = decimals_of(min(high - value, value - low), usual)
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def _decimals_of_single(value: float, quantity: Quantity) -> int:
    if quantity.digits is None or not 0 < abs(value) < math.inf:
        return quantity.decimals
    wanted = quantity.digits - 1 - math.floor(math.log10(abs(value)))
    return min(max(wanted, 0), quantity.decimals)


def decimals_of(half_width: float, usual: int) -> int:
    """Return the decimals at which an interval's half-width has two significant digits.

    At most two more than are usual, which are those of an interval without a width.
    """
    if not 0 < half_width < math.inf:
        return usual
    return min(max(1 - math.floor(math.log10(half_width)), 0), usual + 2)
