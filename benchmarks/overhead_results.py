"""What a benchmark is, and what its pairs come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from overhead_turns import Effort, Pair
from tabulate import tabulate


def ratio(pair: Pair) -> float:
    """Return raybench's figure over the other side's."""
    ours, theirs = pair
    assert theirs is not None
    return ours / theirs


def times_faster(pair: Pair) -> float:
    """Return the other side's seconds over raybench's."""
    ours, theirs = pair
    assert theirs is not None
    return theirs / ours


def itself(pair: Pair) -> float:
    """Return raybench's figure."""
    return pair[0]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Something to measure in turns.

    Attributes:
        name: what ``--only`` takes.
        run: measures, and returns the pairs.
        target: the value to reach.
        against: the other side, in words; empty where there is none.
        value: what a pair comes to.
        unit: of the value; × for a ratio.
        better: whether a lower or a higher value is better.
        needs: what of an Effort it cannot be measured without; an option of the same name.
    """

    name: str
    run: Callable[[Effort], list[Pair]]
    target: float
    against: str = ""
    value: Callable[[Pair], float] = ratio
    unit: str = "×"
    better: Literal["lower", "higher"] = "higher"
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The pairs of a benchmark, and what they come to; without pairs, it was not measured."""

    benchmark: Benchmark
    pairs: list[Pair]

    @property
    def values(self) -> list[float]:
        """The value of each pair."""
        return [self.benchmark.value(pair) for pair in self.pairs]

    @property
    def median(self) -> float | None:
        """The median of the values."""
        return statistics.median(self.values) if self.pairs else None

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target."""
        if self.median is None:
            return None
        if self.benchmark.better == "lower":
            return self.median <= self.benchmark.target
        return self.median >= self.benchmark.target

    def document(self) -> dict[str, Any]:
        """Return the result for a program."""
        of = self.benchmark
        return {
            "name": of.name,
            "against": of.against,
            "value": self.median,
            "unit": of.unit,
            "target": of.target,
            "met": self.met,
            "pairs": [list(pair) for pair in self.pairs],
        }

    def row(self) -> list[str]:
        """Return the result for a person."""
        of = self.benchmark
        target = f"{'≤' if of.better == 'lower' else '≥'} {of.target:g} {of.unit}"
        what = [of.name, of.against or "–"]
        if not self.pairs:
            return [*what, f"not measured: needs --{of.needs}", "–", "0", target, "–"]
        spread = "–"
        if len(self.pairs) > 1:
            low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
            spread = f"{low:.3f}–{high:.3f}"
        return [
            *what,
            f"{self.median:.3f} {of.unit}",
            spread,
            str(len(self.pairs)),
            target,
            "yes" if self.met else "no",
        ]


def render(results: Sequence[Result]) -> str:
    """Return the results as a table in Markdown."""
    headers = ["what", "against", "median", "quartiles", "pairs", "target", "met"]
    return tabulate([r.row() for r in results], headers, "github", disable_numparse=True)
