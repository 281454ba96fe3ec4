"""``raybench data``: get datasets onto the disk before compute nodes without internet need them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raybench.cli.options import AsJson, Data

if TYPE_CHECKING:
    from raybench.catalog.datasets.base import Dataset

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Get datasets onto the disk, on a login node, before compute nodes need them.",
)

_NAME = typer.Argument(metavar="NAME", help="Names of datasets; see `raybench data list`.")
Names = Annotated[list[str], _NAME]


@app.command("list")
def list_(data: Data = None, as_json: AsJson = False) -> None:
    """List all datasets, and whether they are there.

    They come with raybench, or with installed packages.

    Example: raybench data list
    """
    from dataclasses import asdict

    from tabulate import tabulate

    from raybench.catalog.datasets import listed
    from raybench.settings import workspace

    rows = [asdict(row) for row in listed(workspace(data=data).data)]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    titles = ("NAME", "TITLE", "TRAIN", "EVAL", "CLASSES", "FROM", "STATE")
    cells = [list(row.values()) for row in rows]
    typer.echo(tabulate(cells, headers=titles, tablefmt="plain", missingval="–"))


@app.command()
def fetch(names: Names, data: Data = None) -> None:
    """Download datasets, from where there is internet; what is there already is kept.

    Example: raybench data fetch cifar10 mnist kmnist
    """
    from raybench.catalog.datasets import staging, verify
    from raybench.settings import workspace

    root = workspace(data=data).data
    for dataset in _published(names, root):
        if all(finding.state == "ok" for finding in verify(dataset.name, root)):
            typer.echo(f"{dataset.name}: already in {root}, and intact")
            continue
        typer.echo(f"{dataset.name}: downloading to {root}")
        for path in staging.fetch(dataset, root):
            typer.echo(f"{dataset.name}: {path}")


@app.command()
def stage(
    names: Names,
    source: Annotated[
        Path,
        typer.Option(
            "--from",
            metavar="PATH",
            help="A folder, searched with all below it, or a single file.",
        ),
    ],
    data: Data = None,
) -> None:
    """Copy dataset files that you already have, packed or unpacked, once they are found intact.

    Exits with 1 if not all files of a dataset are there then.

    Example: raybench data stage mnist --from ~/Downloads
    """
    from raybench.catalog.datasets import DATASETS, staging
    from raybench.settings import workspace

    root = workspace(data=data).data
    incomplete = []
    for dataset in _published(names, root):
        others = [other for name, other in DATASETS.built_in.items() if name != dataset.name]
        staged = staging.stage(dataset, source, root, others)
        for path in staged.copied:
            typer.echo(f"{dataset.name}: {path}")
        if staged.absent:
            incomplete.append(dataset.name)
            for path in staged.absent:
                typer.echo(f"{dataset.name}: absent: {path}")
            for refused in staged.refused:
                typer.echo(f"{dataset.name}: not taken: {refused}")
    if incomplete:
        _hint(incomplete)
        raise typer.Exit(1)


@app.command()
def verify(
    names: Annotated[list[str] | None, _NAME] = None, data: Data = None, as_json: AsJson = False
) -> None:
    """Say of each file of the datasets (default: all) whether it is ok, absent or damaged.

    Where all files of a dataset are ok, its images are decoded and checked as well. Exits with 1
    if anything is not ok.

    Example: raybench data verify mnist
    """
    from dataclasses import asdict

    from raybench.catalog import datasets
    from raybench.settings import workspace

    root = workspace(data=data).data
    registry = datasets.DATASETS
    chosen = [registry.canonical(name) for name in names or ()] or [
        name for name in registry if registry[name].source.in_data_folder
    ]
    findings = []
    for name in dict.fromkeys(chosen):
        found = datasets.verify(name, root)
        if not found and not as_json:
            typer.echo(f"{name}: nothing to do, {registry[name].source.nothing_to_do}")
        findings += found
    damaged = [finding for finding in findings if finding.state != "ok"]
    if as_json:
        rows = [{**asdict(finding), "path": str(finding.path)} for finding in findings]
        typer.echo(json.dumps(rows, indent=1))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:8} {finding.dataset:13} {finding.path}: {finding.detail}")
        _hint(finding.dataset for finding in damaged)
    if damaged:
        raise typer.Exit(1)


def _published(names: list[str], root: Path) -> Iterator[Dataset]:
    """Go through the datasets that are published as files, each once; say why others are not.

    Raises:
        DataError: one of the others is not there.
    """
    from raybench.catalog.datasets import DATASETS

    for name in dict.fromkeys(DATASETS.canonical(name) for name in names):
        source = DATASETS[name].source
        if source.nothing_to_do:
            source.state(name, root)
            typer.echo(f"{name}: nothing to do, {source.nothing_to_do}")
        else:
            yield DATASETS[name]


def _hint(names: Iterable[str]) -> None:
    """Say how the datasets of these names that are published as files can be had."""
    from raybench.catalog.datasets import DATASETS

    wanted = " ".join(n for n in dict.fromkeys(names) if not DATASETS[n].source.nothing_to_do)
    if wanted:
        typer.echo(f"\nhint:    `raybench data fetch {wanted}` on a login node, or")
        typer.echo(f"         `raybench data stage {wanted} --from FOLDER`")
