"""The grids that come with raybench."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from raybench.spec.grid import load_grid

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.name)
def test_a_grid_is_a_plan(path: Path) -> None:
    assert load_grid(path).plan()


def test_the_sets_of_the_aa_experiment_are_its_even_and_odd_repeats() -> None:
    path = EXPERIMENTS / "aa.yaml"
    trials = load_grid(path).plan()
    patterns = [word[len("aa/records/") :] for word in path.read_text().split() if "*-r*" in word]
    sets = [[t.repeat for t in trials if fnmatch(f"{t.trial_id}.json", p)] for p in patterns]
    assert sets == [list(range(0, 20, 2)), list(range(1, 20, 2))]
    assert len({trial.configuration_id for trial in trials}) == 1
