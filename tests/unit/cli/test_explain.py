"""``raybench explain``."""

from __future__ import annotations

import json

import pytest
import typer
from records import make_grid, write_records
from typer.testing import CliRunner

from raybench.cli.explain import explain


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(explain)
    folder = write_records(tmp_path, make_grid(2))
    (folder / "records" / "bad.json").write_text("{")
    return lambda *options: CliRunner().invoke(app, [str(folder), *options])


def test_an_explanation_for_a_person(run):
    shown = run("--baseline", "p100")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("Where a training step's time goes")
    assert "Speedup over P100, measured and expected" in shown.stdout
    assert "1 file left out" in shown.stderr


def test_an_explanation_for_a_program(run):
    document = json.loads(run("--json").stdout)
    (explanation,) = document["explanations"]
    assert len(explanation["speedups"]) == 4
    assert len(document["problems"]) == 1
