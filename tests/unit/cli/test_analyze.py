"""raybench analyze, as a person and as a program use it."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import typer
from records import make_failed, make_grid, make_record, write_records
from typer.testing import CliRunner

from raybench.cli.analyze import analyze
from raybench.errors import RaybenchError

app = typer.Typer()
app.command()(analyze)


def run(*arguments):
    """Call the command, and return what it wrote to stdout and stderr."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def results(tmp_path):
    failed = [make_failed(dataset="kmnist"), make_record(dataset="kmnist", hardware="K80")]
    return write_records(tmp_path / "results", [*make_grid(3), *failed])


def test_three_tables_of_ones_own_results(results):
    shown, errors = run(results)
    for heading in ("Running time (s)", "Accuracy (%)", "Speedup over K80"):
        assert heading in shown
    assert "failed: 1 of 26 trials" in shown
    assert errors == ""


def test_the_published_tables_alone(monkeypatch):
    shown, _ = run("--reference", "li2022")
    for figure in ("1019.2370", "87.0600%", "2.7811", "2.8684", "over 6 cells: 2.7907"):
        assert figure in shown
    assert "Li" in shown.splitlines()[0]


def test_the_published_beside_ones_own(results):
    shown, _ = run(results, "--reference", "li2022")
    assert "Compared with published results: Juncen Li" in shown
    (line,) = [
        line
        for line in shown.splitlines()
        if line.startswith("| speedup") and "ResNet-18" in line and "CIFAR10" in line
    ]
    assert "2.6290" in line
    assert "not the same workload: epochs is 3, published with 10" in shown
    assert "[ ]: 95 % interval of one's own figure" in shown
    assert "train_limit is 1000, published without one" in shown
    document = json.loads(run(results, "--reference", "li2022", "--json")[0])
    own = document["published"]["rows"]
    assert {row["quantity"] for row in own} == {"running-time", "speedup"}
    assert all(row["ratio"] == row["own"] / row["published"] for row in own)


def test_a_reference_of_ones_own(tmp_path, results):
    path = tmp_path / "other.csv"
    path.write_text(
        "hardware,model,dataset,running_time_s,accuracy\nP100,resnet18,mnist,4.5,0.99\n"
    )
    shown, _ = run(results, "--reference", path)
    assert "4.5000" in shown
    assert "Compared with published results: " + str(path) in shown


def test_a_million_rows_of_a_foreign_csv_are_refused_as_a_record(tmp_path):
    path = tmp_path / "foreign.csv"
    path.write_text("a,b,c,d,e,f,g,h\n" * 1_100_000)
    with pytest.raises(RaybenchError, match="far too large"):
        run(path)


def test_what_was_left_out_is_named_and_counted_on_stderr(results):
    for number in range(25):
        (results / "records" / f"bad-{number:02}.json").write_text("{")
    shown, errors = run(results)
    assert "Speedup over K80" in shown
    assert errors.splitlines()[0] == ""
    assert "25 files left out" in errors
    assert "bad-00.json" in errors
    assert "and 5 more" in errors
    assert len(json.loads(run(results, "--json")[0])["problems"]) == 25


def test_prices_and_a_target_add_their_tables(results):
    shown, _ = run(results, "--price", "P100=1.46/h", "--price", "k80=0.9", "--currency", "EUR")
    assert "Cost (EUR)" in shown
    shown, _ = run(results, "--table", "speedup", "--target-accuracy", "0.9")
    assert "Time to an accuracy of 0.9 (s)" in shown
    assert "Running time" not in shown


@pytest.mark.parametrize("price", ["P100", "P100=", "P100=free", "=1", "P100=-1/h", "P100=1/day"])
def test_a_price_that_cannot_be_read_is_refused(results, price):
    with pytest.raises(RaybenchError, match="cannot read the price"):
        run(results, "--price", price)


def test_the_trials_are_saved_too(results, tmp_path):
    run(results, "--save-trials", tmp_path / "trials.csv")
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 26


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to analyze"),
        (["nowhere"], "no results at nowhere"),
        (["--reference", "li2023"], "did you mean 'li2022'"),
        (["--reference", "li2022", "--format", "githib"], "did you mean 'github'"),
        (["--reference", "li2022", "--baseline", "A100"], "no results on the baseline 'A100'"),
        (["--reference", "li2022", "--table", "time"], "unknown table 'time'"),
        (["--reference", "li2022", "--allow-mismatch", "x"], "unknown field 'x'"),
    ],
)
def test_wrong_arguments_are_said_in_words(arguments, message):
    with pytest.raises(RaybenchError, match=message):
        run(*arguments)
