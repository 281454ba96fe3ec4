"""``benchmarks/overhead.py``: what it selects, what it makes of pairs, and that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import overhead
import overhead_results as results
import overhead_timm
import overhead_training as training
import pytest
import torch
from overhead_training import spec_of
from overhead_turns import Effort, Pair, in_turns

from raybench.record.autotune import Autotune, StepSettings

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"

EFFORTS: list[Effort] = []


def turns(effort: Effort) -> list[Pair]:
    EFFORTS.append(effort)
    return [(1.0, 2.0), (3.0, 4.0), (9.0, 10.0)]


LOOP = results.Benchmark(
    name="loop-a", against="a loop", run=turns, value=results.ratio, unit="×", better="lower",
    target=0.75,
)  # fmt: skip
FAST = replace(LOOP, name="loop-b", value=results.times_faster, better="higher", target=1.5)
ALONE = replace(LOOP, name="alone", against="", value=results.itself, unit="s", target=2.0)
FAKES = (LOOP, FAST, ALONE)


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    overhead.main(["--hardware", "cpu:1", *arguments], FAKES)
    return capsys.readouterr().out


def documents(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(report(capsys, "--json", *arguments))
    return found


def test_a_value_is_the_median_of_the_pairs_values(capsys: pytest.CaptureFixture[str]) -> None:
    loop, fast, alone = documents(capsys)
    assert loop == {
        "name": "loop-a", "against": "a loop", "value": 0.75, "unit": "×", "target": 0.75,
        "met": True, "pairs": [[1, 2], [3, 4], [9, 10]],
    }  # fmt: skip
    assert fast["value"] == pytest.approx(4 / 3)
    assert fast["met"] is False
    assert (alone["value"], alone["unit"], alone["met"]) == (3, "s", False)


def test_a_table_shows_the_spread_and_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    lines = report(capsys).splitlines()
    row = next(line for line in lines if "loop-a" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["loop-a", "a loop", "0.750 ×", "0.625–0.825", "3", "≤ 0.75 ×", "yes"]
    assert lines[-1].startswith("on cpu:1, load average")


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ([], ["loop-a", "loop-b", "alone"]),
        (["loop"], ["loop-a", "loop-b"]),
        (["alone", "loop-a"], ["loop-a", "alone"]),
    ],
)
def test_a_name_or_its_beginning_selects(
    only: list[str], names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word for name in only for word in ("--only", name)]
    assert [found["name"] for found in documents(capsys, *arguments)] == names
    assert [line.split()[0] for line in report(capsys, "--list", *arguments).splitlines()] == names


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        overhead.main(["--only", "lop-a"], FAKES)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "no benchmark 'lop-a'" in said
    assert "did you mean 'loop-a'?" in said
    assert "allowed: loop-a, loop-b, alone" in said


def test_quick_is_less_of_everything(capsys: pytest.CaptureFixture[str]) -> None:
    report(capsys, "--only", "alone")
    report(capsys, "--only", "alone", "--quick")
    usual, quick = EFFORTS[-2:]
    assert quick.hardware == usual.hardware == "cpu:1"
    assert quick.pairs < usual.pairs
    assert quick.steps < usual.steps


def test_sides_take_turns_and_each_is_first_in_every_other() -> None:
    calls: list[str] = []

    def side(name: str, value: float) -> float:
        calls.append(name)
        return value

    pairs = in_turns(3, lambda: side("ours", 1.0), lambda: side("theirs", 2.0))
    assert pairs == [(1.0, 2.0)] * 3
    warm_up = ["ours", "theirs"]
    assert calls == [*warm_up, "ours", "theirs", "theirs", "ours", "ours", "theirs"]


@pytest.mark.usefixtures("_as_many_threads_as_before")
def test_the_best_settings_are_those_that_autotuning_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = StepSettings(
        precision="bf16", memory_format="channels_last", execution="eager",
        fused_optimizer=False, cudnn_benchmark=False, batch_size=10,
    )  # fmt: skip
    asked: list[Any] = []

    def tuned(spec: Any, *_where: Any) -> Autotune:
        asked.append(spec)
        return Autotune(chosen=chosen, reason="", candidates=(), time_s=1.0, hostname="here")

    monkeypatch.setattr("raybench.trial.autotune.search.resolve", tuned)
    pairs = training.best("squeezenet1_1", Effort(hardware="cpu:1", pairs=2, steps=1))
    assert [spec.execution for spec in asked] == ["best"]
    assert len(pairs) == 2
    assert all(ours > 0 and theirs for ours, theirs in pairs)


BESIDE = replace(LOOP, name="beside", needs="timm")


def test_what_needs_an_option_is_not_measured_without_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    overhead.main(["--hardware", "cpu:1"], (BESIDE, LOOP))
    rows = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in next(r for r in rows if "beside" in r).strip("|").split("|")]
    assert cells == ["beside", "a loop", "not measured: needs --timm", "–", "0", "≤ 0.75 ×", "–"]
    overhead.main(["--hardware", "cpu:1", "--json"], (BESIDE, LOOP))
    missing, measured = json.loads(capsys.readouterr().out)
    assert missing == {**measured, "name": "beside", "value": None, "met": None, "pairs": []}


def test_a_checkout_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        overhead.main(["--timm", str(tmp_path)], (BESIDE,))
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert f"{tmp_path} holds no benchmark.py" in said
    assert "allowed: a checkout of" in said


TIMM = """
import json, os, sys
from pathlib import Path
seen = [sys.argv[1:], os.environ["OMP_NUM_THREADS"], os.environ["NVIDIA_TF32_OVERRIDE"]]
Path(__file__).with_name("seen").write_text(json.dumps(seen))
print("--result\\n" + json.dumps(RESULT))
"""
"""As much of timm's script as the comparison sees: its options, and what it prints."""


def timm_rate(folder: Path, result: dict[str, Any]) -> float:
    (folder / "benchmark.py").write_text(TIMM.replace("RESULT", repr(result)))
    spec = spec_of("resnet18", Effort(hardware="cpu:1"))
    return overhead_timm.timm_images_per_s(folder, spec, torch.device("cpu"), 10)


def test_timms_script_gets_raybenchs_settings(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    assert timm_rate(tmp_path, {"train_samples_per_sec": 12.5}) == 12.5
    arguments, threads, tf32 = json.loads((tmp_path / "seen").read_text())
    assert (threads, tf32) == ("1", "0")
    assert " ".join(arguments) == (
        "--bench train --no-retry --model resnet18 --device cpu --precision float32 "
        "--batch-size 10 --img-size 224 --num-classes 10 --opt momentum "
        "--num-warm-iter 3 --num-bench-iter 10"
    )


def test_what_timms_script_says_went_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"timm's benchmark.py failed: out of memory"):
        timm_rate(tmp_path, {"error": "out of memory"})


def test_the_script_lists_every_benchmark() -> None:
    command = [sys.executable, BENCHMARKS / "overhead.py", "--list"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in out.splitlines()] == [b.name for b in overhead.BENCHMARKS]


@pytest.fixture
def _as_many_threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_as_many_threads_as_before")
def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    only = ["--only", "plan", "--only", "input-mnist", "--hardware", "cpu:1"]
    overhead.main(["--quick", "--json", *only])
    documents = json.loads(capsys.readouterr().out)
    assert [(d["name"], d["unit"]) for d in documents] == [("input-mnist", "×"), ("plan", "s")]
    assert all(found["value"] > 0 for found in documents)
