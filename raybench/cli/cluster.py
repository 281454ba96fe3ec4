"""``raybench cluster init``: the batch scripts for Slurm, in a folder of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def cluster() -> None:
    """Write the batch scripts for a Slurm cluster."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="where to; on a file system that all nodes share")],
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Write the batch scripts, site.env.example and the environments' files to a folder.

    They are those of a checkout's cluster/ folder, with the paper's grid beside them.

    Example: raybench cluster init ~/raybench
    """
    from raybench.slurm.batch_files import write_batch_files

    written = write_batch_files(folder, force=force)
    typer.echo(
        f"{len(written)} files are in {folder}. Next, on a login node:\n\n"
        f"  cd {folder}\n"
        "  environments/create.sh current              # or kepler-pascal, pascal-hopper\n"
        "  cp site.env.example site.env                # then fill it in\n"
        "  source environments/current/bin/activate\n"
        "  raybench data fetch cifar10 mnist kmnist    # compute nodes need no internet\n"
        "  source site.env\n"
        "  sbatch --nodes=2 --gpus-per-node=1 start_ray.sbatch\n\n"
        "Without a grid's file it runs the paper's, paper.yaml in that folder."
    )
