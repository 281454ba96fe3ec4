"""What is said of a grid that ended before its time, and what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import make_failed, make_record

from raybench.cli.output import print_problems, run_and_show
from raybench.launch.grid import Outcome
from raybench.launch.options import RunOptions
from raybench.record.store import Experiment
from raybench.settings import Workspace
from raybench.spec.grid import grid_spec


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ({"planned": 1}, 0, ""),
        ({"planned": 2}, 1, ""),
        ({"planned": 1, "interrupted": True}, 130, "The same command runs the rest"),
        ({"planned": 2, "stranded": "for 1 s no node"}, 1, "The same command measures the rest"),
    ],
)
def test_a_grids_end_is_told_by_its_exit_code_and_a_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    how: dict[str, Any],
    code: int,
    said: str,
) -> None:
    record = make_record()
    Experiment(tmp_path / "unit").write(record)
    monkeypatch.setattr(
        "raybench.launch.grid.run_grid", lambda *_: Outcome(records=(record,), **how)
    )
    grid = grid_spec({"name": "unit", "model": "resnet18", "dataset": "mnist", "hardware": "P100"})
    workspace = Workspace(results=tmp_path, data=tmp_path, cache=tmp_path)
    assert run_and_show(grid, workspace, RunOptions()) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Running time" in shown.out
    assert shown.out.endswith(f"again:   raybench analyze {tmp_path / 'unit'}\n")


def test_a_grid_with_a_failed_trial_is_not_complete() -> None:
    outcome = Outcome(records=(make_record(), make_failed(model="googlenet")), planned=2)
    assert not outcome.is_complete
    assert len(outcome.unless_cut_short()) == 2
    with pytest.raises(KeyboardInterrupt):
        Outcome(records=(), planned=1, interrupted=True).unless_cut_short()


def test_a_page_of_what_was_left_out_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_problems(())
    assert capsys.readouterr().err == ""
    print_problems(["a.json: cut short"])
    assert capsys.readouterr().err == "\n1 file left out:\n  a.json: cut short\n"
    print_problems([f"{number}.json" for number in range(22)])
    assert capsys.readouterr().err.endswith("  19.json\n  … and 2 more (all with --json)\n")
