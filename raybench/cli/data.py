"""``raybench data``: get datasets onto the disk before compute nodes without internet need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from raybench.cli.options import Data

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Get datasets onto the disk, on a login node, before compute nodes need them.",
)

_NAME = typer.Argument(metavar="NAME", help="cifar10, mnist, kmnist, fashionmnist.")
Names = Annotated[list[str], _NAME]
WITHOUT_FILES = {
    "digits": "digits comes with scikit-learn",
    "synthetic": "synthetic images are made as they are needed",
}


@app.command()
def fetch(names: Names, data: Data = None) -> None:
    """Download datasets, from where there is internet; what is there already is kept."""
    from raybench.catalog.datasets import archives as dataset_files
    from raybench.catalog.datasets import staging as dataset_staging
    from raybench.settings import workspace

    root = workspace(data=data).data
    for name in _with_files(names):
        if all(finding.state == "ok" for finding in dataset_files.verify(name, root)):
            typer.echo(f"{name}: already in {root}, and intact")
            continue
        typer.echo(f"{name}: downloading to {root}")
        _say_staged(name, dataset_staging.fetch(name, root))


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
    """Copy dataset files that you already have, packed or unpacked, once they are found intact."""
    from raybench.catalog.datasets.staging import stage as stage_files
    from raybench.settings import workspace

    root = workspace(data=data).data
    for name in _with_files(names):
        _say_staged(name, stage_files(name, source, root))


@app.command()
def verify(
    names: Annotated[list[str] | None, _NAME] = None,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say of each file of the datasets (default: all) whether it is ok, absent or damaged.

    Exits with 1 if any is not ok.
    """
    from dataclasses import asdict

    from raybench.catalog.datasets import archives as dataset_files
    from raybench.settings import workspace

    root = workspace(data=data).data
    chosen = _with_files(names or list(dataset_files.FILES), quiet=as_json)
    findings = [finding for name in chosen for finding in dataset_files.verify(name, root)]
    damaged = [finding for finding in findings if finding.state != "ok"]
    if as_json:
        rows = [{**asdict(finding), "path": str(finding.path)} for finding in findings]
        typer.echo(json.dumps(rows, indent=1))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:8} {finding.dataset:13} {finding.path}: {finding.detail}")
        if damaged:
            to_mend = " ".join(dict.fromkeys(finding.dataset for finding in damaged))
            typer.echo(f"\nhint:    `raybench data fetch {to_mend}` on a login node, or")
            typer.echo(f"         `raybench data stage {to_mend} --from FOLDER`")
    if damaged:
        raise typer.Exit(1)


def _with_files(names: list[str], *, quiet: bool = False) -> list[str]:
    """Return the names of datasets that have files, each once, and say why others have none."""
    from raybench.catalog.datasets import canonical_dataset

    chosen = list(dict.fromkeys(canonical_dataset(name) for name in names))
    for name in chosen:
        if name in WITHOUT_FILES and not quiet:
            typer.echo(f"{name}: nothing to do, {WITHOUT_FILES[name]}")
    return [name for name in chosen if name not in WITHOUT_FILES]


def _say_staged(name: str, paths: list[Path]) -> None:
    for path in paths:
        typer.echo(f"{name}: {path}")
