"""The command line as its users meet it: exit codes, messages, and nothing lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from records import make_record
from typer.testing import CliRunner, Result

import raybench.cli
from raybench.cli.main import ALIASES, COMMANDS, application
from raybench.cli.options import PANELS
from raybench.record.store import Experiment
from raybench.spec.trial import TrialSpec
from raybench.trial.autotune import search
from raybench.trial.autotune.attempt import StepMeasurement

SMALL = [
    "-s", "image_size=16", "-s", "epochs=1", "-s", "batch_size=32", "-s", "train_limit=64",
    "-s", "eval_limit=32", "--warmup-steps", "1", "--hardware", "cpu:1",
]  # fmt: skip


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def plain(text: str) -> str:
    """Without colours and frames."""
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text))


def test_every_command_shows_its_help() -> None:
    for command in COMMANDS:
        result = invoke(command, "--help")
        assert result.exit_code == 0, command
        assert "Usage" in result.output


def test_the_root_help_names_every_command() -> None:
    output = invoke("--help").output
    assert all(command in output for command in COMMANDS)


def test_every_command_shows_an_example_and_its_options_in_panels() -> None:
    parts = {"data": [("list",), ("fetch",), ("stage",), ("verify",)], "cluster": [("init",)]}
    parts |= {"results": [("recover",)]}
    for command in COMMANDS:
        for part in parts.get(command, [()]):
            output = plain(invoke(command, *part, "--help").output)
            assert f"Example: raybench {' '.join([command, *part])}" in output
    output = invoke("run", "--help").output
    assert all(f"─ {panel} ─" in output for panel in PANELS)


def test_a_former_name_still_works_and_is_not_shown() -> None:
    for former, name in ALIASES.items():
        assert invoke(former, "--help").output == invoke(name, "--help").output
        assert former not in invoke("--help").output


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("raybench pl", ["plan"]),
        ("raybench grid --node", ["--node-timeout"]),
        ("raybench run --precision b", ["bf16"]),
        ("raybench run resnet3", ["resnet34"]),
        ("raybench tune-up --aga", ["--again"]),
        ("raybench data f", ["fetch"]),
        ("raybench nothing x", []),
    ],
)
def test_a_shell_completes_commands_options_and_values(line: str, expected: list[str]) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    asked = CliRunner().invoke(
        application, [], prog_name="raybench", env={"_RAYBENCH_COMPLETE": "complete_bash", **words}
    )
    assert asked.stdout.split() == expected


def test_the_version() -> None:
    assert invoke("--version").output.strip() == f"raybench {raybench.__version__}"


def test_an_unknown_command_offers_the_nearest() -> None:
    result = invoke("analyse")
    assert result.exit_code == 2
    assert "'analyze'" in plain(result.output)


def test_every_field_of_the_spec_is_an_option_of_run() -> None:
    output = plain(CliRunner().invoke(
        application, ["run", "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    ).output)  # fmt: skip
    for name, field in TrialSpec.model_fields.items():
        if name in ("model", "dataset"):
            continue
        assert f"--{name.replace('_', '-')}" in output
        assert (field.description or "").split("\n")[0][:20] in output


def test_a_run_records_and_a_second_one_is_skipped(tmp_path: Path) -> None:
    arguments = ["run", "small_models:small", "digits", *SMALL, "--results", tmp_path]
    first = invoke(*arguments)
    assert first.exit_code == 0, first.output
    assert "completed" in first.stdout
    again = invoke(*arguments, "--json")
    assert again.exit_code == 0
    assert "complete already" in again.stderr
    assert "repeat=1" in again.stderr
    assert json.loads(again.stdout)["status"] == "completed"


def test_a_failed_run_exits_1_and_is_recorded(tmp_path: Path) -> None:
    result = invoke("run", "small_models:raises", "digits", *SMALL, "--results", tmp_path)
    assert result.exit_code == 1
    assert "this model raises" in result.stdout
    assert len(list((tmp_path / "runs" / "records").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["run", "resnet81", "digits"], "'resnet18'"),
        (["run", "resnet18", "digit"], "'digits'"),
        (["run", "resnet18", "digits", "--hardware", "P1000"], "'P100'"),
        (["run", "resnet18", "digits", "-s", "epoch=1"], "'epochs'"),
        (["run", "resnet18", "digits", "-s", "epochs"], "-s key=value"),
        (["run", "resnet18", "digits", "--batch-size", "0"], "batch_size is 0"),
        (["run", "resnet18", "digits", "--epochs", "-3"], "epochs is -3"),
        (["run", "vgg11", "digits", "--image-size", "8"], "vgg11 cannot take"),
        (["run", "resnet18", "digits", "-s", "epochs=[1, 2]"], "epochs"),
        (["run", "resnet18", "digits", "--hardware", "cpu:1000"], "this process may use"),
        (["run", "resnet18", "mnist", "--hardware", "cpu:1"], "raybench data fetch mnist"),
        (["grid", "absent.yaml"], "No such file"),
        (["plan", "absent.yaml"], "No such file"),
        (["analyze", "absent"], "no results at absent"),
    ],
)
def test_bad_input_is_one_clear_message(arguments: list[str], fragment: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert fragment in result.stderr
    assert "Traceback" not in result.output


def test_hardware_that_this_machine_lacks_is_refused(tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text("model: resnet18\ndataset: digits\nhardware: [K80, 'cpu:1']\n")
    result = invoke("grid", grid)
    assert result.exit_code == 2
    assert "needs CPU 3, GPU 1, K80 1 on one node" in result.stderr
    assert invoke("plan", grid).exit_code == 1


def test_a_results_folder_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("in the way")
    result = invoke("run", "small_models:small", "digits", *SMALL, "--results", tmp_path / "file")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
    assert "--results" in result.stderr


def test_the_plan_knows_what_is_complete_and_how_long_the_rest_takes(tmp_path: Path) -> None:
    record = make_record("resnet18", "mnist", "P100")
    fields = record.spec.model_dump(exclude={"repeat"})
    grid = tmp_path / "unit.yaml"
    grid.write_text(yaml.safe_dump({**fields, "dataset": ["mnist", "kmnist"]}))
    Experiment(tmp_path / "unit").write(record)
    result = invoke("plan", grid, "--results", tmp_path, "--json")
    rows = json.loads(result.stdout)["trials"]
    assert [row["complete"] for row in rows] == [True, False]
    # KMNIST is as large as MNIST, so it is expected to take as long.
    assert rows[1]["expected_running_time_s"] == pytest.approx(record.running_time_s)
    assert rows[1]["resources"]["P100"] == 1


def test_the_plan_shows_what_tells_its_trials_apart(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "model: [resnet18, googlenet]\ndataset: digits\nhardware: cpu:1\nexecution: [eager, best]\n"
    )
    lines = invoke("plan", path).stdout.splitlines()
    assert lines[0].split()[-2:] == ["execution", "state"]
    assert [line.split()[-3] for line in lines[1:5]] == ["eager", "best"] * 2
    assert "seed" not in lines[0]


def test_a_bug_is_one_line_unless_debug_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("raybench.settings.workspace", broken)
    grid = Path(raybench.cli.__file__).parent / "demo.yaml"
    result = invoke("plan", grid)
    assert result.exit_code == 1
    assert "LookupError: a bug" in result.stderr
    assert "Traceback" not in result.output
    monkeypatch.setenv("RAYBENCH_DEBUG", "1")
    assert isinstance(invoke("plan", grid).exception, LookupError)


def test_an_autotune_tells_what_it_tried_and_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(_attempt: Any, spec: Any, *_arguments: Any, **_limit: Any) -> Any:
        rate = 200.0 if spec.precision == "bf16" else 100.0
        return StepMeasurement(images_per_s=rate, first_loss=2.3, loss_fall=0.5)

    monkeypatch.setattr(search, "call", answered)
    result = invoke(
        *("autotune", "resnet18", "digits", "--hardware", "cpu:1", "--results", str(tmp_path))
    )
    assert result.exit_code == 0, result.output
    assert "chosen: bf16, contiguous, eager, batch 10" in result.stdout
    assert "-s precision=bf16 -s memory_format=contiguous -s execution=eager" in result.stdout
    assert "trying fp32, contiguous, eager, batch 10" in result.stderr

    # What was found before is told without trying again.
    again = invoke(
        *("autotune", "resnet18", "digits", "--hardware", "cpu:1", "--results", str(tmp_path)),
        "--json",
    )
    assert json.loads(again.stdout)["chosen"]["precision"] == "bf16"
    assert "trying" not in again.stderr


def test_an_autotune_with_nothing_to_find_is_refused() -> None:
    result = invoke("autotune", "resnet18", "digits", "-s", "execution=eager")
    assert result.exit_code == 2
    assert "there is nothing to find" in result.stderr


def test_runs_at_their_best_share_an_autotune_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # compiling takes a minute
    command = ["run", "small_models:small", "digits", *SMALL, "--results", str(tmp_path)]
    for repeat in ("0", "1"):
        best = invoke(*command, "--execution", "best", "--repeat", repeat)
        assert best.exit_code == 0, best.output
        assert "as autotune chose" in best.stdout
    assert "autotune: fp32, contiguous, eager, batch 32" not in best.stderr, "found before"
    assert len(list((tmp_path / "runs" / "autotune").iterdir())) == 1
    assert invoke(*command).exit_code == 0
    tables = plain(invoke("analyze", str(tmp_path / "runs"), "--table", "running-time").stdout)
    assert "Running time (s) — execution eager" in tables
    assert "Running time (s) — execution best" in tables
    assert tables.count("each hardware at its best") == 1


ENDLESS = [
    "run",
    "small_models:endless",
    "digits",
    *SMALL,
    "-s",
    "epochs=99",
    "-s",
    "train_limit=1400",
]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_run_with_a_record(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "raybench", *ENDLESS, f"--results={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        next(line for line in run.stderr if "epoch 1/99" in line)
        run.send_signal(number)
        said = run.stderr.read()
    assert run.returncode == 130, said
    assert "interrupted; what is complete was kept" in said
    (record,) = (tmp_path / "runs" / "records").glob("*.json")
    assert json.loads(record.read_text())["status"] == "interrupted"
