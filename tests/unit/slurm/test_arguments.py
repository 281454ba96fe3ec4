"""What comes after the name of a batch script."""

from __future__ import annotations

from pathlib import Path

import pytest

from raybench.errors import SpecError
from raybench.slurm.arguments import Join, Start, parse


def test_start() -> None:
    assert parse(["start"]) == Start()
    assert parse(["start", "my.yaml", "-s", "epochs=1", "--set=repeats=5", "--wait-for=k80"]) == (
        Start(spec=Path("my.yaml"), settings=("epochs=1", "repeats=5"), wait_for=("K80",))
    )
    assert parse(["start", "--hold", "--results=r"]) == Start(hold=True, results=Path("r"))


def test_join() -> None:
    assert parse(["join", "1234"]) == Join(job="1234")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "my.yaml", "--hold"], "--hold runs no grid"),
        (["start", "--hold", "-s", "epochs=1"], "--hold runs no grid"),
        (["join"], "JOBID"),
        ([], "start"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err


def test_unknown_hardware_is_refused_with_what_there_is() -> None:
    with pytest.raises(SpecError, match="did you mean 'K80'"):
        parse(["start", "--wait-for", "K81"])
