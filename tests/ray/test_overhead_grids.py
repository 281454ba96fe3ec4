"""The benchmarks of whole grids run, and measure what they say."""

from __future__ import annotations

import json

import overhead
import pytest


def test_whole_grids_are_measured_beside_their_trials_and_plain_tune(
    capsys: pytest.CaptureFixture[str],
) -> None:
    only = ("--only", "grid-12", "--only", "trials-2000-reused")
    overhead.main(["--quick", "--json", "--hardware", "cpu:1", *only])
    twelve, many = json.loads(capsys.readouterr().out)
    assert (twelve["name"], many["name"]) == ("grid-12", "trials-2000-reused")
    ((wall_s, running_s),) = twelve["pairs"]
    assert wall_s > running_s > 0
    assert twelve["value"] == pytest.approx(wall_s / running_s)
    assert all(rate > 0 for rate in many["pairs"][0])
