"""``raybench analyze``: running time, accuracy and speedup of what was measured."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybench.analysis.quantities import DEFAULT_TABLES, QUANTITIES, Options
from raybench.catalog.hardware import Hardware
from raybench.cli.options import AllowMismatch, Baseline
from raybench.cli.output import print_problems
from raybench.errors import ResultsError, SpecError
from raybench.report import DOCUMENTS, FORMATS, check_format, render

if TYPE_CHECKING:
    from raybench.analysis.published import PublishedComparison
    from raybench.analysis.tables import Section


def analyze(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of experiments, folders that hold some, or single records."),
    ] = None,
    *,
    table: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(QUANTITIES)}; by default {', '.join(DEFAULT_TABLES)}. "
            "May be repeated."
        ),
    ] = None,
    baseline: Baseline = None,
    tablefmt: Annotated[
        str,
        typer.Option(
            "--format",
            help=f"github, {', '.join([*FORMATS, *DOCUMENTS])}, or any format of tabulate.",
        ),
    ] = "github",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Published results to compare with: li2022, or a CSV file of that shape."
        ),
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
    """Print running time, accuracy and speedup of what was measured.

    Example: raybench analyze results/paper --table speedup --format latex
    """
    from raybench.analysis.tables import make_tables
    from raybench.analysis.trials import load

    tablefmt = "json" if as_json else tablefmt
    check_format(tablefmt)
    published = None
    if reference is not None:
        from raybench.analysis.published import load_published

        published = load_published(reference)
    if results:
        trials, problems = load(results)
    elif published:
        trials, problems = published.trials, ()
    else:
        raise ResultsError(
            "nothing to analyze", hint="name a results folder, or --reference li2022"
        )
    if save_trials:
        from raybench.analysis.frame import save, to_frame

        save(to_frame(trials), save_trials)
    implied = {"cost": price, "time-to-accuracy": target_accuracy is not None}
    names = [*(table or DEFAULT_TABLES), *(name for name, wanted in implied.items() if wanted)]
    options = Options(
        baseline=Hardware.parse(baseline) if baseline else None,
        allow_mismatch=tuple(allow_mismatch or ()),
        prices=dict(map(_price, price or ())),
        currency=currency,
        target_accuracy=target_accuracy,
        published=not results,
    )
    sections = make_tables(trials, list(dict.fromkeys(names)), options)
    compared = None
    if published and results:
        from raybench.analysis.published import compare_with_published

        compared = compare_with_published(trials, published, options)
    elif published and tablefmt not in ("csv", "json", "latex"):
        typer.echo(f"Published: {published.source}\n")
    typer.echo(_shown(sections, tablefmt, problems, compared))
    print_problems(problems if tablefmt != "json" else ())


def _shown(
    sections: Sequence[Section],
    tablefmt: str,
    problems: Sequence[str],
    compared: PublishedComparison | None,
) -> str:
    from raybench.report.documents import as_json
    from raybench.report.tables import Tables, tables_document

    if tablefmt == "json":
        document: dict[str, Any] = {**tables_document(sections), "problems": problems}
        if compared:
            from raybench.report.comparison import published_document

            document["published"] = published_document(compared)
        return as_json(document)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    shown = Tables(sections).render(tablefmt, width=width)
    if compared and tablefmt != "csv":
        from raybench.report.comparison import published_part

        shown += "\n\n" + render([published_part(compared)], tablefmt)
    return shown


def _price(entry: str) -> tuple[str, float]:
    """Read ``P100=1.46/h``."""
    match = re.fullmatch(r"\s*(.+?)\s*=\s*(\d+(?:\.\d+)?)\s*(?:/\s*h)?\s*", entry)
    if not match:
        raise SpecError(
            f"cannot read the price {entry!r}", allowed="HARDWARE=PRICE/h, such as P100=1.46/h"
        )
    return Hardware.parse(match[1]).label, float(match[2])
