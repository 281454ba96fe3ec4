"""The figures that tables show, a row a table.

To add a table, add a row to ``QUANTITIES``: the command line, every format and the documents for
programs follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raybench.catalog.hardware import Hardware
from raybench.errors import SpecError

if TYPE_CHECKING:
    from raybench.analysis.trials import Trials


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the tables depend on beside the trials.

    Attributes:
        baseline: the hardware that speedups are over; None is the slowest.
        prices: of an hour on the hardware of each label.
        target_accuracy: for the time to an accuracy, 0 to 1.
        published: the figures are published ones, and shown with all their digits.
    """

    baseline: Hardware | None = None
    allow_mismatch: Collection[str] = ()
    prices: Mapping[str, float] | None = None
    currency: str = ""
    target_accuracy: float | None = None
    published: bool = False


Values = Callable[["Trials", Options], Sequence[float]]
"""A figure of each trial, NaN where it is unknown.

Raises:
    SpecError: an option is lacking.
"""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A figure that a table shows.

    Attributes:
        name: what ``--table`` and programs call it.
        title: the table's heading.
        unit: ``s``, ``%`` (of a fraction), ``×`` (a ratio) …
        decimals: the most for a single run; means show what their interval supports.
        digits: significant ones of a single run, whose spread is unknown; None for all decimals.
        meaning: what a reader has to know of it, or "".
        values: of each trial.
        less: None for the means of the values; for a table of ratios, the baseline's mean over the
            hardware's, what is taken off the ratio.
        unmeasured: why a trial that completed may lack it.
        of_every_trial: no mean of those trials alone that have it.

    Title, unit and meaning may name currency, prices or target_accuracy in braces.
    """

    name: str
    title: str
    unit: str
    decimals: int = 4
    digits: int | None = 3
    meaning: str = ""
    values: Values
    less: int | None = None
    unmeasured: str = "not measured in"
    of_every_trial: bool = False

    def with_options(self, options: Options) -> Quantity:
        """Return it with the options that its texts name."""
        prices = (
            f"{price:g} an hour on {label}" for label, price in (options.prices or {}).items()
        )
        named = {
            "currency": options.currency,
            "prices": ", ".join(prices),
            "target_accuracy": f"{options.target_accuracy or 0:.4g}",
        }
        texts = {name: getattr(self, name).format(**named) for name in ("title", "unit", "meaning")}
        return replace(self, **texts, digits=None if options.published else self.digits)


def column(name: str) -> Values:
    """Take a figure as it stands in a column."""
    return lambda trials, _: trials[name]


def each(figure: Callable[..., float], *names: str) -> Values:
    """Compute a figure of each trial from these columns, in which NaN is unknown."""
    return lambda trials, _: [
        figure(*values) for values in zip(*(trials[name] for name in names), strict=True)
    ]


def _over(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


def _cost(trials: Trials, options: Options) -> Sequence[float]:
    if not options.prices:
        raise SpecError("the cost table needs prices", hint="add --price P100=1.46/h")
    rows = zip(trials["hardware"], trials["running_time_s"], strict=True)
    return [options.prices.get(label, math.nan) * time / 3600 for label, time in rows]


def _time_to_accuracy(trials: Trials, options: Options) -> Sequence[float]:
    if options.target_accuracy is None:
        raise SpecError("time-to-accuracy needs a target", hint="add --target-accuracy 0.9")
    values = []
    for times, accuracies in zip(trials["epoch_times_s"], trials["epoch_accuracies"], strict=True):
        reached = [i for i, a in enumerate(accuracies or ()) if a >= options.target_accuracy]
        values.append(math.fsum(times[: reached[0] + 1]) if reached else math.nan)
    return values


_ENERGY = "the energy of all timed epochs, evaluation included, over the images trained on"

_ROWS = (
    Quantity(name="running-time", title="Running time", unit="s", values=column("running_time_s")),
    Quantity(name="accuracy", title="Accuracy", unit="%", values=column("accuracy")),
    Quantity(name="speedup", title="Speedup", unit="×", values=column("running_time_s"), less=0),
    Quantity(
        name="improvement",
        title="Improvement (speedup − 1)",
        unit="×",
        values=column("running_time_s"),
        less=1,
    ),
    Quantity(
        name="images-per-s",
        title="Training images per second",
        unit="1/s",
        decimals=2,
        values=column("images_per_s"),
    ),
    Quantity(
        name="compute-only-images-per-s",
        title="Training images per second, compute only",
        unit="1/s",
        decimals=2,
        meaning="of the same training step on a batch that is already on the device",
        values=column("compute_only_images_per_s"),
    ),
    Quantity(
        name="energy-per-image",
        title="Energy per training image",
        unit="J",
        meaning=_ENERGY,
        values=each(_over, "energy_j", "trained_images"),
    ),
    Quantity(
        name="images-per-joule",
        title="Training images per joule",
        unit="1/J",
        meaning=_ENERGY,
        values=each(_over, "trained_images", "energy_j"),
    ),
    Quantity(
        name="mfu",
        title="Model FLOPs utilisation",
        unit="%",
        decimals=2,
        meaning="operations that training the model takes, over what the datasheet's peak of that "
        "precision would do in the same time",
        values=column("mfu"),
    ),
    Quantity(
        name="cost",
        title="Cost",
        unit="{currency}",
        meaning="the running time, at {prices}; setup and warm-up cost extra",
        values=_cost,
        unmeasured="no price was given for",
    ),
    Quantity(
        name="time-to-accuracy",
        title="Time to an accuracy of {target_accuracy}",
        unit="s",
        meaning="training and evaluation up to the end of the first epoch that reaches it",
        values=_time_to_accuracy,
        unmeasured="not reached by every trial of",
        of_every_trial=True,
    ),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ROWS}
"""Every table that there is, by the name that ``--table`` takes."""

DEFAULT_TABLES = ("running-time", "accuracy", "speedup")
