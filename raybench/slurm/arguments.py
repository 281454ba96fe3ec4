"""What comes after the name of a batch script."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raybench.catalog.hardware import canonical_label


@dataclass(frozen=True, kw_only=True)
class Start:
    """A cluster of this job's own, for a grid or held for single runs.

    Attributes:
        spec: the grid's file; None for the paper's grid.
        settings: ``key=value`` for the grid.
        results: the results folder, if not that of the environment.
        hold: keep the cluster for single runs, without a grid.
        wait_for: GPU types that nodes of other jobs bring before the grid begins.
    """

    spec: Path | None = None
    settings: tuple[str, ...] = ()
    results: Path | None = None
    hold: bool = False
    wait_for: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Join:
    """This job's nodes join the cluster of another job.

    Attributes:
        job: that job's id.
    """

    job: str


def parse(arguments: Sequence[str]) -> Start | Join:
    """Read what came after the batch script's name."""
    parser = argparse.ArgumentParser(prog="sbatch")
    commands = parser.add_subparsers(required=True, dest="command")
    starter = commands.add_parser("start", prog="sbatch start_ray.sbatch")
    starter.add_argument("spec", nargs="?", type=Path)
    starter.add_argument("-s", "--set", dest="settings", action="append", default=[])
    starter.add_argument("--results", type=Path)
    starter.add_argument("--hold", action="store_true")
    starter.add_argument("--wait-for", action="append", default=[], type=canonical_label)
    joiner = commands.add_parser("join", prog="sbatch join_ray.sbatch")
    joiner.add_argument("job", metavar="JOBID")
    given = parser.parse_args(arguments)
    if given.command == "join":
        return Join(job=given.job)
    if given.hold and (given.spec or given.settings or given.wait_for):
        starter.error("--hold runs no grid: it goes with --results only")
    return Start(
        spec=given.spec,
        settings=tuple(given.settings),
        results=given.results,
        hold=given.hold,
        wait_for=tuple(given.wait_for),
    )
