"""What users see of analyze, explain, compare and plan is what they saw before, byte for byte.

(But for figures of more than 12 digits, as in JSON, which are compared by 7 of them.)

Each of `CASES` is a command line, run in this process in `tests/data`; what it printed stands in
`tests/data/golden/<name>.txt`, with its exit code. A change to one of these files is a change of
what users see, and has to be meant:

    python tests/unit/test_golden.py --write            # all of them
    python tests/unit/test_golden.py --write plan       # those whose names begin with plan

Then read `git diff tests/data/golden`, and say in the commit why it is so. The results that the
commands read, `tests/data/records`, are never changed (tests/data/README.md).
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import shlex
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "golden"

sys.modules["nets"] = types.ModuleType("nets")
vars(sys.modules["nets"])["wide"] = dict  # a plan imports the models that it names

MACHINE = "raybench.launch.session.machine_resources"
"""The function that says what this machine has: plans are for a machine of two processors."""

SETS = {
    "v1-old": "records/v1/old",
    "v1-runs": "records/v1/runs",
    **{
        name: f"records/v2/{name}"
        for name in ("tiny", "runs", "paper", "gpus", "best", "largest", "versions", "kinds")
    },
    "damaged": "records/damaged",
}
"""Result sets: v2/tiny, v2/runs and v1/runs were measured, the others made up."""

PRICES = {
    **dict.fromkeys(SETS, "--price P100=1.46/h"),
    **dict.fromkeys(("paper", "gpus", "v1-old"), "--price P100=1.46/h --price K80=0.9/h"),
    **dict.fromkeys(("v1-runs", "tiny", "runs"), "--price cpu:1=0.02/h"),
}
EVERY_TABLE = "--target-accuracy 0.5 " + " ".join(
    f"--table {name}"
    for name in (
        *("running-time", "accuracy", "speedup", "improvement", "images-per-s"),
        *("compute-only-images-per-s", "energy-per-image", "images-per-joule", "mfu", "cost"),
        "time-to-accuracy",
    )
)
FORMATS = ("github", "latex", "csv", "json", "html", "unsafehtml", "plain", "tsv")

CASES: dict[str, str] = {
    **{
        f"analyze-{name}-every-table": f"analyze {folder} {PRICES[name]} {EVERY_TABLE}"
        for name, folder in SETS.items()
    },
    **{
        f"analyze-{name}-{tablefmt}": f"analyze {folder} --format {tablefmt}"
        for name, folder in SETS.items()
        for tablefmt in FORMATS
    },
    "analyze-reference": "analyze --reference li2022",
    **{
        f"analyze-reference-{tablefmt}": f"analyze --reference li2022 --format {tablefmt}"
        for tablefmt in ("latex", "csv", "json", "html")
    },
    "analyze-reference-cost": "analyze --reference li2022 --table cost --price P100=1.46 "
    "--price K80=0.9 --currency EUR",
    **{
        f"analyze-paper-reference-{tablefmt}": "analyze records/v2/paper --reference li2022 "
        f"--format {tablefmt}"
        for tablefmt in ("github", "latex", "csv", "json", "html")
    },
    "analyze-gpus-reference": "analyze records/v2/gpus --reference li2022",
    "analyze-kinds-reference": "analyze records/v2/kinds --reference li2022",
    "analyze-tiny-reference": "analyze records/v2/tiny --reference li2022",
    "analyze-reference-of-ones-own": "analyze records/v2/paper --reference references/own.csv",
    "analyze-gpus-baseline": "analyze records/v2/gpus --baseline p100",
    "analyze-paper-baseline": "analyze records/v2/paper --baseline P100 --table improvement",
    "analyze-versions-allowed": "analyze records/v2/versions --allow-mismatch torch "
    "--allow-mismatch torchvision --allow-mismatch cuda --allow-mismatch cudnn",
    "analyze-versions-allow-torch": "analyze records/v2/versions --allow-mismatch torch",
    "analyze-kinds-allow-device": "analyze records/v2/kinds --allow-mismatch device "
    "--allow-mismatch batch_size",
    "analyze-paper-cost": "analyze records/v2/paper --price P100=1.46/h --price K80=0.9/h",
    "analyze-paper-target-accuracy": "analyze records/v2/paper --target-accuracy 0.5",
    "analyze-target-accuracy": "analyze records/v2/gpus --table time-to-accuracy "
    "--target-accuracy 0.9",
    "analyze-a-folder-of-experiments": "analyze records/v1",
    "analyze-several": "analyze records/v1/old records/v2/gpus records/v2/gpus/records",
    "analyze-a-record": "analyze records/v2/gpus/records/resnet18-cifar10-A100-r0-16bb7b7d64.json",
    "analyze-save-csv": "analyze records/v2/kinds --table accuracy --save-trials OUT/trials.csv",
    "analyze-save-json": "analyze records/v2/versions --table mfu --save-trials OUT/trials.json",
    "analyze-save-v1": "analyze records/v1 --table accuracy --save-trials OUT/trials.csv",
    "analyze-save-unknown": "analyze records/v2/kinds --save-trials trials.txt",
    "analyze-nothing": "analyze",
    "analyze-absent": "analyze records/v3000",
    "analyze-unknown-table": "analyze records/v2/paper --table times",
    "analyze-unknown-baseline": "analyze records/v2/paper --baseline P1000",
    "analyze-unknown-field": "analyze records/v2/paper --allow-mismatch torchh",
    "analyze-unknown-reference": "analyze --reference li2023",
    "analyze-price-of-nothing": "analyze records/v2/paper --price A100=3/h",
    "analyze-price-unreadable": "analyze records/v2/paper --price P100=free",
    "analyze-cost-without-price": "analyze records/v2/paper --table cost",
    **{
        f"explain-{name}{suffix}": f"explain {folder}{option}"
        for name, folder in SETS.items()
        for suffix, option in (("", ""), ("-json", " --json"))
        if not option or name in ("v1-old", "tiny", "paper", "gpus", "best")
    },
    "explain-gpus-baseline": "explain records/v2/gpus --baseline A100",
    "explain-versions-allowed": "explain records/v2/versions --allow-mismatch torch "
    "--allow-mismatch torchvision --allow-mismatch cuda --allow-mismatch cudnn",
    "explain-before": "explain records/v2/before",
    "compare": "compare records/v2/before records/v2/after",
    "compare-json": "compare records/v2/before records/v2/after --json",
    "compare-fail-below": "compare records/v2/before records/v2/after --fail-below 0.95",
    "compare-fail-below-json": "compare records/v2/before records/v2/after --fail-below 0.95 "
    "--json",
    "compare-fail-below-passes": "compare records/v2/before records/v2/after --fail-below 0.8",
    "compare-allowed": "compare records/v2/before records/v2/after "
    "--allow-mismatch dataset_fingerprint",
    "compare-with-itself": "compare records/v2/gpus records/v2/gpus",
    "compare-single-runs": "compare records/v2/paper records/v2/paper --fail-below 1",
    "compare-versions": "compare records/v1/old records/v2/gpus",
    "compare-damaged": "compare records/damaged records/damaged",
    "compare-nothing-shared": "compare records/v2/paper records/v2/tiny",
    "compare-kinds": "compare records/v2/kinds records/v2/kinds",
    "compare-bad-limit": "compare records/v2/before records/v2/after --fail-below 2",
    **{
        f"plan-{name}{suffix}": f"plan {path}{option}"
        for name, path in {
            "paper": "../../experiments/paper.yaml",
            "aa": "../../experiments/aa.yaml",
            "demo": "../../raybench/cli/demo.yaml",
            "lists": "grids/lists.yaml",
            "exclude": "grids/exclude.yaml",
            "limits": "grids/limits.yaml",
        }.items()
        for suffix, option in (("", ""), ("-json", " --json"))
    },
    "plan-paper-begun": "plan ../../experiments/paper.yaml --results records/v2",
    "plan-paper-begun-json": "plan ../../experiments/paper.yaml --results records/v2 --json",
    "plan-paper-repeats": "plan ../../experiments/paper.yaml --results records/v2 -s repeats=2 "
    "-s epochs=[5,10]",
    "plan-gpus-begun": "plan records/v2/gpus/grid.yaml --results records/v2",
    "plan-best-done": "plan records/v2/best/grid.yaml --results records/v2",
    "plan-tiny-done": "plan records/v2/tiny/grid.yaml --results records/v2",
    "plan-v1-begun": "plan records/v1/old/grid.yaml --results records/v1",
    "plan-unknown-field": "plan grids/lists.yaml -s batchsize=3",
    "plan-impossible": "plan grids/lists.yaml -s precision=tf32",
    "plan-absent": "plan grids/absent.yaml",
}
"""Command lines by the names of their golden files; OUT is a folder of the test's own."""


@pytest.mark.parametrize("name", CASES)
def test_what_users_see_is_what_they_saw(name: str, tmp_path: Path) -> None:
    path = GOLDEN / f"{name}.txt"
    before = path.read_text(encoding="utf-8")
    now = seen(CASES[name], tmp_path)
    difference = difflib.unified_diff(
        before.splitlines(keepends=True), now.splitlines(keepends=True), str(path), "now"
    )
    if now != before:
        pytest.fail("".join(difference), pytrace=False)


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


def seen(command: str, out: Path) -> str:
    """Run a command line, and return all that a user sees of it, with what it wrote to OUT."""
    from raybench.cli.main import main

    streams = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        _anywhere(command, out),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    parts = {"stdout": streams[0].getvalue(), "stderr": streams[1].getvalue()}
    parts.update({path.name: path.read_text(encoding="utf-8") for path in sorted(out.iterdir())})
    text = f"$ raybench {command}\nexit code {code}\n"
    return text + "".join(f"--- {name}\n{_rounded(part)}" for name, part in parts.items())


@contextlib.contextmanager
def _anywhere(command: str, out: Path) -> Iterator[None]:
    """Make a command's output the same on every machine.

    Paths are relative to `tests/data`, there are no results or settings of the user's own, messages
    are as wide as on a terminal of 100 columns, and this machine has two processors and no GPU.
    """
    arguments = [word.replace("OUT/", f"{out}/") for word in shlex.split(command)]
    ours = {
        **{"RAYBENCH_RESULTS": "results", "RAYBENCH_DATA": "data", "RAYBENCH_CACHE": "cache"},
        **{"COLUMNS": "100", "TERMINAL_WIDTH": "100", "TERM": "dumb"},
    }
    foreign = re.compile(r"RAY(BENCH)?_\w+|(NO|FORCE|PY)_COLORS?|TTY_\w+")
    kept = {name: value for name, value in os.environ.items() if not foreign.fullmatch(name)}
    machine = {"CPU": 2.0, "GPU": 0.0, "raybench_node": 1.0}
    with (
        _inside(DATA),
        mock.patch.dict(os.environ, {**kept, **ours}, clear=True),
        mock.patch.object(sys, "argv", ["raybench", *arguments]),
        mock.patch(MACHINE, return_value=machine),
    ):
        yield


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _rounded(text: str) -> str:
    """Round figures that were printed unrounded to 7 digits: the last depend on SciPy and libm."""
    return re.sub(r"\b\d+\.\d+(?:e[-+]?\d+)?", lambda match: _short(match[0]), text)


def _short(number: str) -> str:
    digits = number.partition("e")[0].replace(".", "").lstrip("0")
    return number if len(digits) <= 12 else f"{float(number):.7g}"


def write(beginning: str = "") -> None:
    """Write the golden files of the cases whose names begin so, and remove those of no case."""
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.iterdir():
        if path.stem not in CASES:
            path.unlink()
    for name, command in CASES.items():
        if name.startswith(beginning):
            with tempfile.TemporaryDirectory() as out:
                text = seen(command, Path(out))
            (GOLDEN / f"{name}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"] or len(sys.argv) > 3:
        sys.exit(__doc__)
    sys.path.insert(0, str(DATA.parents[1]))  # this checkout, whatever is installed
    write(*sys.argv[2:])
