"""``raybench compare``, as a gate."""

from __future__ import annotations

import json

import pytest
import typer
from records import make_record, write_records
from typer.testing import CliRunner

from raybench.cli.compare import compare


def results(slowdown=1.0, seed=0, **changes):
    return [
        make_record(model, repeat=repeat, slowdown=slowdown, seed=seed, changes=changes)
        for model in ("googlenet", "resnet18")
        for repeat in range(4)
    ]


@pytest.fixture
def run(tmp_path):
    app = typer.Typer()
    app.command()(compare)

    def invoke(a, b, *options):
        folders = [
            str(write_records(tmp_path / name, side))
            for name, side in zip("ab", (a, b), strict=True)
        ]
        (tmp_path / "b" / "unit" / "records" / "bad.json").write_text("{")
        return CliRunner().invoke(app, [*folders, *options])

    return invoke


def test_it_exits_1_on_a_significant_slowdown_only(run):
    fails = run(results(), results(slowdown=1.3, seed=7), "--fail-below", "0.95")
    assert fails.exit_code == 1
    assert "TOO SLOW" in fails.stdout
    assert "significantly slower than 0.95: GoogLeNet · MNIST · P100" in fails.stderr
    assert "1 file left out" in fails.stderr
    assert run(results(), results(slowdown=1.3, seed=7)).exit_code == 0
    assert run(results(slowdown=1.3), results(seed=7), "--fail-below", "0.95").exit_code == 0


def test_json_for_programs(run):
    document = json.loads(
        run(results(), results(**{"environment.torch": "2.15.0"}), "--json").stdout
    )
    assert document["differences"] == [{"field": "torch", "a": ["2.0.1+cu117"], "b": ["2.15.0"]}]
    assert len(document["cells"]) == 2
    wanted = {"model", "dataset", "hardware", "ratio", "low", "high", "verdict"}
    assert all(wanted <= set(cell) for cell in document["cells"])
    assert len(document["problems"]) == 1
