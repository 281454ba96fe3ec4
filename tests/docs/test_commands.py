"""Every command that the documentation shows is one that there is, and what can run here runs.

What each kind of command is held against stands in ``CHECKS``; a command of no kind fails, so that
none is passed over. Of raybench's own commands, those in ``RUN`` run in a folder with the grids,
the scripts and results of ``tests/data``; why the others do not stands in ``NOT_RUN``.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from markdown_pages import PAGES, ROOT, all_blocks, blocks, name, prose, shell_commands
from typer.testing import CliRunner

from raybench.cli.main import application
from raybench.cli.schema import all_commands
from raybench.spec.trial import TrialSpec

DATA = ROOT / "tests" / "data" / "records" / "v2"

RUN = (
    "plan",
    "analyze",
    "explain",
    "compare",
    "schema",
    "cluster init",
    "data list",
    "data verify",
)
"""Commands that need neither a GPU, nor a cluster, nor the internet, nor more than seconds."""

NOT_RUN = {
    "results recover": "looks into the user's home; tests/unit runs it",
    "demo": "takes a minute; `make demo` runs it",
    "run": "trains; tests/unit and docs/extend run it",
    "grid": "starts Ray; tests/ray runs it",
    "autotune": "takes half a minute; tests/unit runs it",
    "submit": "needs a Ray cluster with a dashboard; tests/slurm runs it",
    "doctor": "tries this machine; tests/unit runs it",
    "data fetch": "needs the internet",
    "data stage": "needs the user's own files; tests/unit runs it",
}

UNCHECKED = {
    "openssl": "makes certificates; tests/slurm makes them in the same way",
    "mkdir": "makes a folder",
    "cd": "goes to it",
    "printf": "writes a file",
    "git": "clones",
    "pip": "installs",
    "pre-commit": "installs the hooks of .pre-commit-config.yaml",
    "scancel": "ends a Slurm job",
    "export": "sets a variable",
}
"""Programs of others, each with why nothing is checked."""

SBATCH_OPTIONS = {"--nodes", "-N", "--gpus-per-node", "-p", "--ntasks-per-node", "--exclusive"}


def raybench(words: Sequence[str], folder: Path) -> None:
    parse(words[1:])
    if command_of(words[1:]) in RUN:
        run(words[1:], folder)
    else:
        assert command_of(words[1:]) in NOT_RUN


def parse(words: Sequence[str]) -> None:
    """Hold a command line against the options that there are, and its fields against a spec's."""
    group: Any = typer.main.get_command(application)
    context = group.make_context("raybench", [], resilient_parsing=True)
    _, command, rest = group.resolve_command(context, list(words))
    assert command is not None, words
    while getattr(command, "commands", None):
        if not rest:
            return
        command, rest = command.commands[rest[0]], rest[1:]
    context.resilient_parsing = False
    command.make_context(command.name, list(rest), parent=context)
    keys = {word.partition("=")[0] for option, word in itertools.pairwise(rest) if option == "-s"}
    assert keys <= {*TrialSpec.model_fields, "name", "repeats", "exclude"}


def command_of(words: Sequence[str]) -> str:
    known = dict(all_commands())
    return next(name for n in (2, 1) if (name := " ".join(words[:n])) in known)


def run(words: Sequence[str], folder: Path) -> None:
    with inside(folder):
        done = CliRunner().invoke(application, list(words))
    # A plan for GPUs cannot run here; a set of results may be slower than another.
    allowed = (0, 1) if words[0] in ("plan", "compare", "data") else (0,)
    assert done.exit_code in allowed, done.output


def sbatch(words: Sequence[str], _folder: Path) -> None:
    """Split an sbatch line at its script: options of Slurm before it, of the script after it."""
    (place,) = (i for i, word in enumerate(words) if word.endswith(".sbatch"))
    script, before, after = words[place], words[1:place], list(words[place + 1 :])
    assert (ROOT / script).is_file()
    options = {word.partition("=")[0] for word in before if word.startswith("-")}
    assert options <= SBATCH_OPTIONS
    from raybench.slurm.arguments import parse as parse_arguments

    parse_arguments(["join" if "join" in script else "start", *after])
    settings = [word for pair in itertools.pairwise(after) if pair[0] == "-s" for word in pair]
    parse(["grid", "my.yaml", *settings])


def make(words: Sequence[str], _folder: Path) -> None:
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(words[1:]) <= set(targets)


def python(words: Sequence[str], folder: Path) -> None:
    """Hold a script's arguments against its own parser, or a module's."""
    script, arguments = words[1], list(words[2:])
    if script == "experiments/grid.py":
        parse(["grid", *arguments])
    elif script == "benchmarks/overhead.py":
        import overhead

        with inside(folder), contextlib.redirect_stdout(None):
            overhead.main([*arguments, "--list"])
    elif script == "benchmarks/startup.py":
        import startup

        startup.parser().parse_args(arguments)
    else:
        assert (ROOT / script).is_file()


def source(words: Sequence[str], _folder: Path) -> None:
    """What is sourced is part of the repository, or made by the commands above it."""
    made = ("cluster/environments/current/bin/activate", "cluster/site.env")
    assert words[1] in made or (ROOT / words[1]).is_file()


def cp(words: Sequence[str], _folder: Path) -> None:
    assert (ROOT / words[1]).is_file()


def create(words: Sequence[str], _folder: Path) -> None:
    assert (ROOT / words[0]).stat().st_mode & 0o100
    assert (ROOT / "cluster" / "environments" / f"{words[1]}.txt").is_file()


CHECKS: dict[str, Callable[[Sequence[str], Path], None]] = {
    "raybench": raybench,
    "sbatch": sbatch,
    "make": make,
    "python": python,
    "source": source,
    "cp": cp,
    "cluster/environments/create.sh": create,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: the checkout's files, results, a grid called my.yaml."""
    made = tmp_path_factory.mktemp("work")
    for part in ("cluster", "experiments", "raybench", "benchmarks"):
        (made / part).symlink_to(ROOT / part)
    shutil.copytree(DATA / "paper", made / "results" / "paper")
    shutil.copytree(DATA / "tiny", made / "results" / "demo")
    for side in ("before", "after"):
        (made / side).symlink_to(DATA / side)
    grid = next(b for b in blocks(ROOT / "docs" / "grids.md") if b.language == "yaml")
    (made / "my.yaml").write_text(grid.text, encoding="utf-8")
    (made / "CHECKOUT").mkdir()
    (made / "CHECKOUT" / "benchmark.py").touch()
    return made


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before, results = Path.cwd(), os.environ.pop("RAYBENCH_RESULTS", None)
    os.chdir(folder)
    os.environ["HOME"], home = str(folder), os.environ.get("HOME", "")
    try:
        yield
    finally:
        os.chdir(before)
        os.environ["HOME"] = home
        if results is not None:
            os.environ["RAYBENCH_RESULTS"] = results


@pytest.mark.parametrize("block", all_blocks("bash", "sh"), ids=str)
def test_a_command_is_one_that_there_is(block: Any, folder: Path) -> None:
    for words in shell_commands(block.text):
        if words[0] not in UNCHECKED:
            CHECKS[words[0]](words, folder)


INLINE = re.compile(r"`((?:raybench|make) [a-z][^`]*)`")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_command_within_a_sentence_is_one_that_there_is(page: Path) -> None:
    """Its options are held against the real ones, too; arguments and parts in brackets may lack."""
    added = {Path(block.file).stem for block in blocks(page) if "raybench/cli/" in block.file}
    for match in INLINE.finditer(prose(page)):
        command = re.sub(r" \[[^\]]*\]…?|…|\\?\|\w+", "", match[1])
        for words in shell_commands(command):
            if words[0] == "make":
                make(words, page)
            elif words[1] not in added:
                try:
                    parse(words[1:])
                except Exception as error:
                    if type(error).__name__ != "MissingParameter":
                        raise


@pytest.mark.parametrize("command", [name for name, _ in all_commands()])
def test_a_commands_help_ends_in_an_example_that_works(command: str) -> None:
    epilog = dict(all_commands())[command].epilog or ""
    assert epilog.startswith("Example: raybench "), command
    for words in shell_commands(epilog.removeprefix("Example: ")):
        parse(words[1:])


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_a_grid_is_a_plan(block: Any) -> None:
    from raybench.spec.grid import grid_spec

    content = yaml.safe_load(block.text)
    if block.page.parent.name != "extend":  # those run in the examples' own copy
        assert grid_spec({"name": "shown", **content}, str(block)).plan()


def test_every_command_is_run_here_or_said_why_not() -> None:
    assert {name for name, _ in all_commands()} == {*RUN, *NOT_RUN}


def test_the_picture_of_the_levels_is_what_import_linter_holds() -> None:
    """CONTRIBUTING.md shows the layers of pyproject.toml, from the highest to the lowest."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    layers = re.findall(r'"([^"]*)"', text.partition("\nlayers = [")[2].partition("]")[0])
    held = [set(re.findall(r"raybench\.(\w+)", layer)) for layer in layers]
    picture = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    shown = re.findall(r"^[1-7]  (.*?)(?:  .*)?$", picture, re.MULTILINE)
    assert [set(re.findall(r"\w+", line)) for line in shown] == held


def test_the_hooks_call_what_make_check_calls() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    (repository,) = hooks["repos"]
    assert repository["repo"] == "local"
    called = {Path(hook["entry"].split()[0]).name for hook in repository["hooks"]}
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    assert called == set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe))


def test_scripts_are_valid_shell() -> None:
    scripts = [*(ROOT / "cluster").rglob("*.sh"), *(ROOT / "cluster").glob("*.sbatch")]
    for script in [*scripts, ROOT / ".ci" / "run"]:
        subprocess.run(["bash", "-n", script], check=True)
