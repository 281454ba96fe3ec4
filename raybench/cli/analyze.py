"""``raybench analyze``: running time, accuracy and speedup of what was measured."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybench.cli.options import AllowMismatch, Baseline, print_problems
from raybench.errors import ResultsError, SpecError

if TYPE_CHECKING:
    import pandas as pd

    from raybench.analysis.published import PublishedComparison, PublishedResults
    from raybench.analysis.tables import Options, Table


def analyze(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of experiments, folders that hold some, or single records."),
    ] = None,
    *,
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="running-time, accuracy, speedup (these three by default), improvement, "
            "images-per-s, compute-only-images-per-s, energy-per-image, images-per-joule, mfu, "
            "cost, time-to-accuracy. May be repeated."
        ),
    ] = None,
    baseline: Baseline = None,
    tablefmt: Annotated[
        str,
        typer.Option(
            "--format", help="github, latex (booktabs), csv, json, or any format of tabulate."
        ),
    ] = "github",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    reference: Annotated[
        str | None,
        typer.Option(help="Published results to set beside: li2022, or a CSV file of that shape."),
    ] = None,
    allow_mismatch: AllowMismatch = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="Price of an hour, such as P100=1.46/h; adds the cost table."),
    ] = None,
    currency: Annotated[str, typer.Option(help="Currency of the prices.")] = "USD",
    target_accuracy: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Adds the table of times to this accuracy, 0 to 1."),
    ] = None,
    save_trials: Annotated[
        Path | None,
        typer.Option(help="Also write a row for each trial to this .csv, .json or .parquet file."),
    ] = None,
) -> None:
    """Print running time, accuracy and speedup of what was measured."""
    from raybench.analysis.tables import DEFAULT_TABLES, Options, make_tables
    from raybench.catalog.hardware import Hardware
    from raybench.report.text import check_format

    tablefmt = "json" if as_json else tablefmt
    check_format(tablefmt)
    if not results and reference is None:
        raise ResultsError(
            "nothing to analyze", hint="name a results folder, or --reference li2022"
        )
    published = _published(reference)
    names = list(table or DEFAULT_TABLES)
    names += [name for name in _implied(price, target_accuracy) if name not in names]
    options = Options(
        baseline=None if baseline is None else Hardware.parse(baseline),
        allow_mismatch=tuple(allow_mismatch or ()),
        prices=_prices(price or ()),
        currency=currency,
        target_accuracy=target_accuracy,
    )
    if not results:
        assert published is not None
        tables = make_tables(published.frame, names, options)
        _print(tablefmt, tables, heading=f"Published: {published.source}")
        return
    from raybench.analysis.frame import load

    frame, problems = load(results)
    if save_trials:
        _save(frame, save_trials)
    tables = make_tables(frame, names, options)
    _print(tablefmt, tables, problems=problems, published=_compared(frame, published, options))


def _print(
    tablefmt: str,
    tables: Sequence[Table],
    *,
    problems: Sequence[str] = (),
    published: PublishedComparison | None = None,
    heading: str | None = None,
) -> None:
    from raybench.report import comparison, text

    if tablefmt == "json":
        document: dict[str, Any] = {"tables": text.as_document(tables), "problems": list(problems)}
        if published:
            document["published"] = comparison.published_document(published)
        typer.echo(text.as_json(document))
        return
    if heading and tablefmt not in ("csv", "latex"):
        typer.echo(f"{heading}\n")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(text.render(tables, tablefmt, width=width))
    if published and tablefmt != "csv":
        typer.echo("\n" + comparison.render_published(published, tablefmt))
    print_problems(problems)


def _published(name: str | None) -> PublishedResults | None:
    from raybench.analysis.published import load_published

    return None if name is None else load_published(name)


def _compared(
    frame: pd.DataFrame, published: PublishedResults | None, options: Options
) -> PublishedComparison | None:
    from raybench.analysis.published import compare_with_published

    return None if published is None else compare_with_published(frame, published, options)


def _implied(price: Sequence[str] | None, target_accuracy: float | None) -> list[str]:
    cost = ["cost"] if price else []
    return [*cost, *(["time-to-accuracy"] if target_accuracy is not None else [])]


def _prices(given: Sequence[str]) -> Mapping[str, float]:
    from raybench.catalog.hardware import Hardware

    prices = {}
    for entry in given:
        match = re.fullmatch(r"\s*(.+?)\s*=\s*(\d+(?:\.\d+)?)\s*(?:/\s*h)?\s*", entry)
        if not match:
            raise SpecError(
                f"cannot read the price {entry!r}", allowed="HARDWARE=PRICE/h, such as P100=1.46/h"
            )
        prices[Hardware.parse(match[1]).label] = float(match[2])
    return prices


def _save(frame: pd.DataFrame, path: Path) -> None:
    from raybench.analysis.frame import save

    save(frame, path)
