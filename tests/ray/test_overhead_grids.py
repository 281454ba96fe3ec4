"""The benchmarks of whole grids run, and measure what they say."""

from __future__ import annotations

import json
import subprocess
import sys

import overhead
import pytest


def test_whole_grids_are_measured_beside_their_trials_and_plain_tune() -> None:
    # A process of its own: Ray prints what becomes of its nodes to that which is connected to it.
    command = [sys.executable, overhead.__file__, "--quick", "--json", "--hardware", "cpu:1"]
    command += ["--only", "grid-12", "--only", "trials-2000-reused"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    twelve, many = json.loads(done.stdout)
    assert (twelve["name"], many["name"]) == ("grid-12", "trials-2000-reused")
    ((wall_s, running_s),) = twelve["pairs"]
    assert wall_s > running_s > 0
    assert twelve["value"] == pytest.approx(wall_s / running_s)
    assert all(rate > 0 for rate in many["pairs"][0])
