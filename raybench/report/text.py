"""Tables as text: every format of tabulate, LaTeX with booktabs, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import tabulate

from raybench.analysis.compare import Comparison
from raybench.analysis.explain import Explanation, Gain, Parts
from raybench.analysis.groups import Key, dataset_title
from raybench.analysis.sentences import shown
from raybench.analysis.statistics import Ratio
from raybench.analysis.tables import QUANTITIES, Cell, Table
from raybench.catalog.models import model_title
from raybench.errors import SpecError, nearest

OWN_FORMATS = ("latex", "csv", "json")
"""Formats beside tabulate's: LaTeX with booktabs and grouped headings, and two for programs."""

_STATE_TEXT = {"absent": "–", "unmeasured": "n/a"}

_LATEX = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "≈": r"$\approx$",
        "−": r"$-$",
        "·": r"\textperiodcentered{}",
        "–": "--",
    }
)


def render(tables: Sequence[Table], tablefmt: str = "github") -> str:
    """Render tables with their footnotes, or as one CSV or JSON document.

    Args:
        tables: of ``raybench.analysis.tables``.
        tablefmt: ``latex``, ``csv``, ``json``, or any format of tabulate.

    Raises:
        SpecError: no such format.
    """
    check_format(tablefmt)
    if tablefmt == "json":
        return as_json({"tables": as_document(tables)})
    if tablefmt == "csv":
        return as_csv(
            [
                {name: document[name] for name in ("table", "configuration", "baseline")} | cell
                for document in as_document(tables)
                for cell in document["cells"]
            ]
        )
    one = _latex if tablefmt == "latex" else _text
    return "\n\n".join(one(table, tablefmt) for table in tables)


def check_format(tablefmt: str) -> None:
    """Refuse a format that does not exist.

    Raises:
        SpecError: with the nearest.
    """
    known = [*OWN_FORMATS, *(name for name in tabulate.tabulate_formats if name != "latex")]
    if tablefmt not in known:
        raise SpecError(
            f"unknown format {tablefmt!r}. {nearest(tablefmt, known)}".rstrip(),
            allowed=", ".join(known),
        )


def as_document(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """Return tables for programs: a mapping for each, its cells unrounded."""
    return [
        {
            "table": table.name,
            "title": title(table),
            "configuration": table.configuration,
            "baseline": table.baseline,
            "unit": "" if table.quantity.unit in ("%", "×") else table.quantity.unit,
            "cells": [{**key._asdict(), **_figures(cell)} for key, cell in table.cells.items()],
            "geometric_means": [
                {"hardware": hardware, **_figures(cell)} for hardware, cell in table.means.items()
            ],
            "notes": list(table.notes),
        }
        for table in tables
    ]


def _figures(cell: Cell) -> dict[str, Any]:
    return _finite(asdict(cell))


def _finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def title(table: Table) -> str:
    """Return ``Speedup over K80 — batch_size 64``."""
    unit = table.quantity.unit
    shown = f" ({unit})" if unit and unit != "×" else ""
    over = f" over {table.baseline}" if table.baseline else ""
    configuration = f" — {table.configuration}" if table.configuration else ""
    return f"{table.quantity.title}{shown}{over}{configuration}"


def cell_text(table: Table, cell: Cell | None) -> str:
    """Return a cell rounded to what its interval supports, or the reason why it is empty."""
    if cell is None or cell.state != "measured" or cell.value is None:
        return "–" if cell is None else _STATE_TEXT.get(cell.state, cell.state)
    quantity = table.quantity
    percent = "%" if quantity.unit == "%" else ""
    scale = 100 if percent else 1
    value = cell.value * scale
    if cell.low is None or cell.high is None:
        return f"{value:.{quantity.decimals}f}{percent}"
    low, high = cell.low * scale, cell.high * scale
    decimals = _decimals((high - low) / 2, quantity.decimals)
    if quantity.unit == "×":
        mark = " ≈" if cell.verdict == "not distinguishable" else ""
        return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]{mark}"
    return f"{value:.{decimals}f}{percent} ± {(high - low) / 2:.{decimals}f}"


def _decimals(half_width: float, most: int) -> int:
    """Return the decimals at which an interval's half-width has two significant digits."""
    if not 0 < half_width < math.inf:
        return most
    return min(max(1 - math.floor(math.log10(half_width)), 0), most)


def _body(table: Table) -> list[list[str]]:
    rows = []
    for model in table.models:
        cells = (table.cells.get((model, d, h)) for h, d in table.columns)  # type: ignore[call-overload]
        rows.append([model_title(model), *(cell_text(table, cell) for cell in cells)])
    return rows


def _means(table: Table) -> list[str]:
    if len(table.cells) < 2:
        return []
    measured = Counter(key.hardware for key, cell in table.cells.items() if cell.value is not None)
    return [
        f"geometric mean of {hardware} over {measured[hardware]} cells: {cell_text(table, cell)}"
        for hardware, cell in table.means.items()
    ]


def _text(table: Table, tablefmt: str) -> str:
    heading = title(table)
    if not table.columns:
        return f"{heading}\n\n  nothing to compare: results on one hardware only"
    headers = ["model", *(f"{h} {dataset_title(d)}" for h, d in table.columns)]
    numbers = ("right",) * len(table.columns)
    body = tabulate.tabulate(
        _body(table),
        headers=headers,
        tablefmt=tablefmt,
        disable_numparse=True,
        colalign=("left", *numbers),
    )
    below = [f"  {line}" for line in (*_means(table), *table.notes)]
    return "\n".join([heading, "", body, "", *below])


def _latex(table: Table, _: str) -> str:
    """Return a floating table with booktabs, datasets grouped under their hardware."""
    columns = table.columns
    groups: dict[str, int] = {}
    for hardware, _dataset in columns:
        groups[hardware] = groups.get(hardware, 0) + 1
    spans, rules, start = [], [], 2
    for hardware, width in groups.items():
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{_tex(hardware)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    heads = [_tex(dataset_title(dataset)) for _hardware, dataset in columns]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs} and, for pdflatex, an up-to-date LaTeX (UTF-8)",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(title(table))}}}",
            rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
            r"\toprule",
            *([f" & {' & '.join(spans)} \\\\", " ".join(rules)] if columns else []),
            f"{' & '.join(['Model', *heads])} \\\\",
            r"\midrule",
            *(f"{' & '.join(map(_tex, row))} \\\\" for row in _body(table)),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_tex(note)}" for note in (*_means(table), *table.notes)),
            r"\end{table}",
        ]
    )


def _tex(text: str) -> str:
    """Escape what LaTeX would act on; what pdflatex's fonts may lack becomes a question mark."""
    escaped = text.translate(_LATEX)
    return "".join(c if ord(c) < 0x180 else "?" for c in escaped)


def as_json(document: Any) -> str:
    """Return a document as JSON, in which nothing is NaN or infinite."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return mappings of the same keys as CSV with a heading."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = list(rows[0]) if rows else []
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in rows)
    return out.getvalue().rstrip("\n")


def render_rows(
    heading: str, rows: Sequence[Mapping[str, str]], tablefmt: str, notes: Sequence[str] = ()
) -> str:
    """Render mappings of the same keys as a table with its heading and footnotes."""
    if tablefmt == "latex":
        tablefmt = "latex_booktabs"
    body = tabulate.tabulate(
        [list(row.values()) for row in rows],
        headers=list(rows[0]) if rows else [],
        tablefmt=tablefmt,
        disable_numparse=True,
    )
    below = ["", *(f"  {note}" for note in notes)] if notes else []
    return "\n".join([heading, "", body, *below])


def render_explanation(explanation: Explanation) -> str:
    """Render where steps go, the speedups beside those expected, and the sentences."""
    configuration = f" — {explanation.configuration}" if explanation.configuration else ""
    steps = [_step_row(key, parts) for key, parts in explanation.parts.items()]
    gains = [_gain_row(key, gain) for key, gain in explanation.gains.items()]
    notes = ["rest: launch gaps and the host; below 0 where parts overlap; –: unknown"]
    blocks = [render_rows(f"Where a training step goes{configuration}", steps, "github", notes)]
    if gains:
        heading = f"Speedup over {explanation.baseline}, measured and expected{configuration}"
        blocks.append(render_rows(heading, gains, "github", GAIN_NOTES))
    for about, sentences in explanation.sentences.items():
        blocks.append("\n".join([about, *(f"- {sentence}" for sentence in sentences)]))
    blocks.append("\n".join(f"  {note}" for note in explanation.notes))
    return "\n\n".join(blocks)


GAIN_NOTES = (
    "training: images/s; no input: were data, transfer and preprocessing taken off both sides;",
    "compute: the step on a resident batch; FLOPs and bandwidth: of the datasheets' peaks",
)


def _step_row(key: Key, parts: Parts) -> dict[str, str]:
    def share(milliseconds: float | None) -> str:
        if milliseconds is None or not parts.step_ms:
            return "–"
        return f"{milliseconds / parts.step_ms:.0%}"

    return {
        **_names(key),
        "n": str(parts.n),
        "step ms": "–" if parts.step_ms is None else f"{parts.step_ms:.4g}",
        "data": share(parts.data_ms),
        "transfer": share(parts.transfer_ms),
        "preprocess": share(parts.preprocess_ms),
        "compute": share(parts.compute_ms),
        "rest": share(parts.rest_ms),
        "GPU busy": "–" if parts.utilization is None else f"{parts.utilization:.0%}",
    }


def _gain_row(key: Key, gain: Gain) -> dict[str, str]:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    return {
        **_names(key),
        "running time": shown(gain.running_time),
        "training": shown(gain.training) if gain.training else "–",
        "no input": number(gain.without_input),
        "compute": shown(gain.compute_only) if gain.compute_only else "–",
        "FLOPs": number(gain.flops),
        "bandwidth": number(gain.bandwidth),
    }


def _names(key: Key) -> dict[str, str]:
    return {
        "model": model_title(key.model),
        "dataset": dataset_title(key.dataset),
        "hardware": key.hardware,
    }


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation for programs, unrounded."""

    def ratio(found: Ratio | None) -> dict[str, Any] | None:
        if found is None:
            return None
        low, high = found.interval or (None, None)
        return _finite({"value": found.value, "low": low, "high": high, "n": found.n})

    return {
        "configuration": explanation.configuration,
        "baseline": explanation.baseline,
        "steps": [
            {**key._asdict(), **asdict(parts), "rest_ms": parts.rest_ms}
            for key, parts in explanation.parts.items()
        ],
        "speedups": [
            {
                **key._asdict(),
                "running_time": ratio(gain.running_time),
                "training": ratio(gain.training),
                "without_input": gain.without_input,
                "compute_only": ratio(gain.compute_only),
                "flops": gain.flops,
                "bandwidth": gain.bandwidth,
            }
            for key, gain in explanation.gains.items()
        ],
        "ms_per_image_over_gflops": [
            {"dataset": dataset, "hardware": hardware, **asdict(line)}
            for (dataset, hardware), line in explanation.lines.items()
        ],
        "sentences": {about: list(said) for about, said in explanation.sentences.items()},
        "notes": list(explanation.notes),
    }


def render_comparison(comparison: Comparison) -> str:
    """Render what differs between two result sets, then each cell's change."""
    blocks = []
    if comparison.differences:
        rows = [
            {"differs": d.field, "A": _few(d.a), "B": _few(d.b)} for d in comparison.differences
        ]
        blocks.append(render_rows("Software and hardware", rows, "github"))
    else:
        blocks.append("Software and hardware: no difference on record")
    cells = [
        {
            **_names(change.key),
            "configuration": change.configuration,
            "n": str(change.ratio.n),
            "B over A": shown(change.ratio, 3),
            "B is": change.verdict or "of single runs: no verdict",
            "": "TOO SLOW" if change.too_slow else "",
        }
        for change in comparison.changes
        if change.ratio
    ]
    blank = [name for name in ("configuration", "") if not any(row[name] for row in cells)]
    rows = [{k: v for k, v in row.items() if k not in blank} for row in cells]
    problems = [f"{c.title}: {c.problem}" for c in comparison.changes if not c.ratio]
    notes = (
        "mean running time of A over that of B; [ ]: 95 % interval on the log scale (Welch)",
        f"verdicts at 5 % with Holm's correction for {len(cells)} cells",
        *(f"not compared: {problem}" for problem in problems),
    )
    blocks.append(render_rows("Speed of B over A", rows, "github", notes))
    return "\n\n".join(blocks)


def _few(values: Sequence[str]) -> str:
    more = f" and {len(values) - 3} more" if len(values) > 3 else ""
    return ", ".join(values[:3]) + more


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for programs, unrounded."""
    cells = []
    for change in comparison.changes:
        ratio = change.ratio
        low, high = (ratio.interval if ratio else None) or (None, None)
        figures = {"ratio": ratio.value if ratio else None, "low": low, "high": high}
        cells.append(
            {
                **change.key._asdict(),
                "configuration": change.configuration,
                **_finite(figures),
                "n": ratio.n if ratio else 0,
                "verdict": change.verdict,
                "too_slow": change.too_slow,
                "problem": change.problem,
            }
        )
    return {"differences": [asdict(d) for d in comparison.differences], "cells": cells}


def render_beside(
    rows: Sequence[Mapping[str, Any]], differences: Sequence[str], source: str, tablefmt: str
) -> str:
    """Render one's own figures beside published ones, of ``raybench.analysis.reference.beside``."""
    heading = f"Beside the published: {source}"
    if not rows:
        return f"{heading}\n\n  no model, dataset and hardware in common"
    lines = []
    for row in rows:
        quantity = QUANTITIES[row["quantity"]]
        interval = ""
        if row["low"] is not None and row["high"] is not None:
            decimals = _decimals((row["high"] - row["low"]) / 2, quantity.decimals)
            interval = f" [{row['low']:.{decimals}f}, {row['high']:.{decimals}f}]"
        decimals = decimals if interval else quantity.decimals
        lines.append(
            {
                "": row["quantity"].replace("-", " "),
                "model": model_title(row["model"]),
                "dataset": dataset_title(row["dataset"]),
                "hardware": row["hardware"],
                "own": f"{row['own']:.{decimals}f}{interval}",
                "published": f"{row['published']:.{quantity.decimals}f}",
                "own / published": f"{row['ratio']:.3f}",
            }
        )
    return render_rows(heading, lines, tablefmt, differences)
