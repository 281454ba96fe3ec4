"""The worked examples of docs/extend are carried out in a copy of the package.


A block under a path in bold is that file; a diff changes a file of the package; Python is executed;
of a console block, each ``$`` line runs, and what it prints has to be what is shown, where … stands
for anything. The pages' files are all there before anything runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from markdown_pages import ROOT, Block, blocks, name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = sorted((ROOT / "docs" / "extend").glob("*.md"))

DRIVER = """
import contextlib, io, json, os, shlex, sys

def command(line):
    words = shlex.split(line)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        os.environ[name] = value
    from raybench.cli.main import main
    sys.argv[:] = words
    said, progress = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(progress):
        try:
            main()
        except SystemExit:
            pass
    return said.getvalue() or progress.getvalue()

def steps():
    for kind, text in json.load(open("steps.json")):
        if kind == "console":
            yield command(text)
        else:
            exec(compile(text, "example", "exec"), {"__name__": "example"})
            yield ""

print("RESULTS" + json.dumps(list(steps())))
"""


@pytest.mark.parametrize("page", EXAMPLES, ids=name)
def test_an_example_does_what_it_says(page: Path, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "raybench", tmp_path / "raybench", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "tests/data/records/v2/gpus", tmp_path / "results" / "gpus")
    found = blocks(page)
    for block in found:
        if block.language == "diff":
            apply(block, tmp_path)
        elif block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    install(tmp_path)
    steps, expected = [], []
    for block in found:
        if block.language == "python" and not block.file:
            steps.append(("python", block.text))
            expected.append((block, ""))
        elif block.language == "console":
            for command, output in commands(block.text):
                steps.append(("console", command))
                expected.append((block, output))
    for (block, wanted), said in zip(expected, run(steps, tmp_path), strict=True):
        assert re.fullmatch(pattern(wanted), tidy(said)), f"{block}\n{said}"


def apply(block: Block, folder: Path) -> None:
    """Make the changes of a diff: each file's lines, those around them, and nothing else."""
    for part in re.split(r"^--- ", block.text, flags=re.MULTILINE)[1:]:
        file, _, lines = part.partition("\n")
        hunks = re.split(r"^@@.*\n", lines, flags=re.MULTILINE)
        path = folder / file.strip()
        text = path.read_text(encoding="utf-8")
        for hunk in filter(None, hunks):
            marked = [line or " " for line in hunk.splitlines()]
            before = "".join(f"{line[1:]}\n" for line in marked if line[0] in " -")
            after = "".join(f"{line[1:]}\n" for line in marked if line[0] in " +")
            assert text.count(before) == 1, f"{block}: {file} does not hold these lines once"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


def install(folder: Path) -> None:
    """Do as much of `pip install` for a page's package as entry points need."""
    project = folder / "pyproject.toml"
    if not project.exists():
        return
    content = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    info = folder / f"{content['name'].replace('-', '_')}-{content['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {content['name']}\nVersion: {content['version']}\n"
    )
    lines = []
    for group, points in content["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def commands(text: str) -> list[tuple[str, str]]:
    """Return each command of a console block with the output below it."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0].strip()
    pairs = (part.partition("\n") for part in parts[1:])
    return [(command, output) for command, _, output in pairs]


def pattern(shown: str) -> str:
    """Return the expression for what a console block shows: … is anything, or any lines."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + "\n"
        for line in shown.splitlines()
    ]
    return "".join(lines)


def tidy(said: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in said.splitlines())


def run(steps: Sequence[tuple[str, str]], folder: Path) -> list[str]:
    """Run a page's steps in one process, in the copy."""
    if not steps:
        return []
    (folder / "steps.json").write_text(json.dumps(steps))
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "RAYBENCH_DATA": str(folder / "data"),
        "RAYBENCH_CACHE": str(folder / "cache"),
        "RAYBENCH_RESULTS": str(folder / "results"),
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results: list[str] = json.loads(done.stdout.partition("RESULTS")[2])
    return results
