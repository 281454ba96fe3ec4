"""``raybench demo``: the whole flow on this machine, in about a minute."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from raybench.cli.options import Results, Settings


def demo(settings: Settings = None, results: Results = None) -> None:
    """Run a small grid on this machine, offline, and print its three tables.

    GoogLeNet and ResNet-18 on the handwritten digits that scikit-learn carries; one thread and
    two threads of the processor are the two kinds of hardware.

    Example: raybench demo --results /tmp/results
    """
    from raybench.cli.output import run_and_show
    from raybench.launch.options import RunOptions
    from raybench.settings import workspace
    from raybench.spec.grid import load_grid, parse_settings
    from raybench.system.cpus import allowed_cpus

    given = parse_settings(settings or ())
    if allowed_cpus() < 2:
        typer.echo("one processor only: the demo leaves cpu:2, and so the speedup, out", err=True)
        given = {"hardware": "cpu:1", **given}
    grid = load_grid(Path(__file__).with_name("demo.yaml"), given)
    # OpenMP's threads would spin while they wait, and so keep a busy machine's processor from the
    # very thread that they wait for; a step then takes a hundred times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    folders = workspace(results)
    code = run_and_show(grid, folders, RunOptions())
    if code == 0:
        typer.echo(_NEXT.format(results=folders.results / grid.name))
    raise typer.Exit(code)


_NEXT = """
Measured on this machine, just now. What to do next:
  why the speedup is not higher               raybench explain {results}
  one trial on MNIST                          raybench data fetch mnist
                                              raybench run resnet18 mnist --epochs 1
  the paper's grid: what would run, where     raybench plan experiments/paper.yaml
  the paper's grid on a Slurm cluster         sbatch cluster/start_ray.sbatch"""
