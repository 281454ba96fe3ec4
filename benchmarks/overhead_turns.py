"""How a benchmark measures: two sides in turns, with as much effort as is asked for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Pair = tuple[float, float | None]
"""raybench's figure, and the other side's of the same turn, or None where there is no other."""

HERE = Path(__file__).parent
CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much to measure, and on what.

    Attributes:
        hardware: the label that trials are given.
        pairs: turns of both sides.
        steps: training steps on each side of a turn; few, so that both see the same noise.
        images: images through an input pipeline on each side of a turn.
        starts: trials that follow another, on each side of the comparison of their starts.
        repeats: trials of each of two models in a grid.
        trial_s: seconds that each of those takes at least.
        epoch_images: images that each epoch of those trains on.
        trials: of a large grid.
        timm: a checkout of timm's repository, if there is one.
    """

    hardware: str
    pairs: int = 20
    steps: int = 2
    images: int = 400
    starts: int = 10
    repeats: int = 6
    trial_s: float = 60.0
    epoch_images: int = 500
    trials: int = 2000
    timm: Path | None = None


def effort_of(hardware: str | None, *, quick: bool, timm: Path | None = None) -> Effort:
    """Return the usual effort, or one of seconds; hardware None is what this machine is.

    Raises:
        RaybenchError: there is no such hardware, or the checkout of timm is none.
    """
    from raybench.catalog.hardware import canonical_label
    from raybench.errors import SpecError
    from raybench.system.verify import default_hardware

    if timm and not (timm / "benchmark.py").is_file():
        raise SpecError(
            f"{timm} holds no benchmark.py",
            allowed="a checkout of https://github.com/huggingface/pytorch-image-models",
        )
    hardware = canonical_label(hardware) if hardware else default_hardware()
    if quick:
        few = {"repeats": 1, "pairs": 2, "steps": 1, "images": 20, "starts": 2, "trials": 4}
        return Effort(hardware=hardware, trial_s=0.5, epoch_images=50, timm=timm, **few)
    return Effort(hardware=hardware, timm=timm)


def in_turns(pairs: int, ours: Callable[[], float], theirs: Callable[[], float]) -> list[Pair]:
    """Measure both sides in turns, each first in every other turn, after one turn to warm up."""
    ours(), theirs()
    found: list[Pair] = []
    for number in range(pairs):
        if number % 2:
            other = theirs()
            found.append((ours(), other))
        else:
            found.append((ours(), theirs()))
    return found


def times_in(folder: Path) -> dict[str, object]:
    """Return the variable that names the file of ``start_model.note`` in a folder."""
    return {"START_TIMES": folder / "times"}


def noted(folder: Path, what: str) -> list[float]:
    """Return the times that ``start_model.note`` wrote for a word."""
    lines = (line.split() for line in (folder / "times").read_text().splitlines())
    return [float(time_s) for name, time_s in lines if name == what]


def run_command(
    command: Sequence[str | Path],
    expected: Sequence[int] = (0,),
    variables: Mapping[str, object] | None = None,
) -> str:
    """Run a command with these environment variables, and return what it printed.

    Raises:
        SystemExit: it failed, with what it said.
    """
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    given = {name: str(value) for name, value in (variables or {}).items()}
    environ = {**os.environ, "PYTHONPATH": path, **given}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode not in expected:
        said = f"{done.stdout}{done.stderr}".strip()
        raise SystemExit(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{said}")
    return done.stdout
