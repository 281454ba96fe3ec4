"""What the figures support saying of speedups: typed, with the figures that it is said of.

Sentences are made of findings in ``raybench.report.explanation``. A ``conclusion`` follows from a
finding's figures alone; what they do not bear is no finding, or one that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raybench.analysis.breakdown import NOTABLE, SpeedupBreakdown, StepBreakdown
from raybench.analysis.configurations import Key
from raybench.analysis.notes import Note
from raybench.analysis.statistics import Ratio, Verdict, quotient, verdicts
from raybench.catalog.hardware import Hardware


@dataclass(frozen=True, kw_only=True)
class Finding(Note):
    """What figures support saying."""

    @property
    def conclusion(self) -> str:
        """What it comes to, by its figures."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CellFinding(Finding):
    """What holds for one cell beside that of the baseline."""

    cell: Key
    baseline: Hardware


@dataclass(frozen=True, kw_only=True)
class StepShare(CellFinding):
    """What part of a step is compute, of the cell and of the baseline's; the former is known."""

    step: StepBreakdown
    baseline_step: StepBreakdown

    @property
    def conclusion(self) -> Literal["unclear", "shorter than compute", "compute", "overhead"]:
        """Whether the overhead is clear, and a notable part of the step."""
        overhead = self.step.overhead
        if overhead is None or not self.step.overhead_is_clear:
            return "unclear"
        if overhead < -NOTABLE:
            return "shorter than compute"
        return "compute" if overhead < NOTABLE else "overhead"

    @property
    def baseline_overhead(self) -> float | None:
        """The part of the baseline's step that is not compute; None where that is not clear."""
        overhead = self.baseline_step.overhead
        if overhead is None or overhead < -NOTABLE or not self.baseline_step.overhead_is_clear:
            return None
        return overhead


@dataclass(frozen=True, kw_only=True)
class WithoutInput(CellFinding):
    """Without data, transfer and preprocessing on either side, the speedup would be another."""

    training: Ratio
    without_input: Ratio

    @property
    def conclusion(self) -> Literal["higher", "lower"]:
        """What it would be."""
        return "higher" if self.without_input.value > self.training.value else "lower"


@dataclass(frozen=True, kw_only=True)
class WithoutOverhead(CellFinding):
    """The speedup of training beside that of compute alone."""

    training: Ratio
    compute_only: Ratio

    @property
    def conclusion(self) -> Literal["hardly changes", "unclear", "lowers", "raises"]:
        """What overhead does to the speedup."""
        change = self.compute_only.value / self.training.value - 1
        if abs(change) < NOTABLE and not (_is_wide(self.compute_only) or _is_wide(self.training)):
            return "hardly changes"
        if _overlap(self.compute_only, self.training):
            return "unclear"
        return "lowers" if change > 0 else "raises"


@dataclass(frozen=True, kw_only=True)
class DatasheetExpectation(CellFinding):
    """The speedup of compute alone beside those of the datasheets' peaks, one of them known."""

    flops: float | None
    bandwidth: float | None
    compute_only: Ratio

    @property
    def known(self) -> list[float]:
        """The ratios that the datasheets give."""
        return [ratio for ratio in (self.flops, self.bandwidth) if ratio is not None]

    @property
    def conclusion(self) -> Literal["above", "below", "between", "unclear"]:
        """Where compute alone lies."""
        least, most = min(self.known), max(self.known)
        low, high = self.compute_only.interval or (self.compute_only.value,) * 2
        if low > most:
            return "above"
        if high < least:
            return "below"
        return "between" if least < low and high < most else "unclear"


@dataclass(frozen=True, kw_only=True)
class LighterModel(Finding):
    """Whether the model of the fewest FLOPs gains less than that of the most, and why.

    ``verdict``: of the lighter one's speedup over the heavier one's; None for single runs.
    """

    light: Key
    heavy: Key
    baseline: Hardware
    verdict: Verdict | None
    light_speedup: SpeedupBreakdown
    heavy_speedup: SpeedupBreakdown

    @property
    def conclusion(
        self,
    ) -> Literal["unclear", "overhead fits", "not overhead alone", "overhead outweighs", "open"]:
        """The cause of a difference, by whether the models differ by compute alone too."""
        light, heavy = self.light_speedup.compute_only, self.heavy_speedup.compute_only
        if self.verdict not in ("faster", "slower"):
            return "unclear"
        if light is None or heavy is None:
            return "open"
        (alone,) = verdicts([quotient(light, heavy)])
        if alone == self.verdict:
            return "not overhead alone"
        if alone in ("faster", "slower"):
            return "overhead outweighs"
        return "open" if alone is None or _is_wide(light) or _is_wide(heavy) else "overhead fits"


@dataclass(frozen=True, kw_only=True)
class TimeOverFlops(Finding):
    """A least-squares line of training milliseconds per image over GFLOPs per image.

    With two ``models`` it runs through all their repeats, with more through each model's mean. The
    half widths are those of 95 % intervals; None for two points.
    """

    dataset: str
    hardware: Hardware
    models: int
    intercept: float
    slope: float
    intercept_half_width: float | None
    slope_half_width: float | None

    @property
    def conclusion(
        self,
    ) -> Literal["two runs", "falls", "unclear", "proportional", "constant part", "faster"]:
        """How time grows with FLOPs; ``proportional``: no constant part can be told from 0."""
        if self.intercept_half_width is None or self.slope_half_width is None:
            return "two runs"
        if abs(self.slope) <= self.slope_half_width:
            return "unclear"
        if self.slope < 0:
            return "falls"
        if abs(self.intercept) <= self.intercept_half_width:
            return "proportional"
        return "constant part" if self.intercept > 0 else "faster"


def _is_wide(ratio: Ratio) -> bool:
    """Whether an interval is too wide to say that nothing changes."""
    return ratio.interval is not None and ratio.interval[1] > (1 + 4 * NOTABLE) * ratio.interval[0]


def _overlap(one: Ratio, other: Ratio) -> bool:
    if one.interval is None or other.interval is None:
        return False
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]
