"""The structure of the package: imports go downward only, and what must stay light does."""

from __future__ import annotations

import graphlib
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

PACKAGE = Path(__file__).parents[2] / "raybench"


def test_imports_go_downward_only() -> None:
    """The contracts stand in pyproject.toml."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_no_modules_import_one_another() -> None:
    """The root module is left out: it imports the public names when they are asked for."""
    graph = grimp.build_graph("raybench", cache_dir=None)
    imports = {
        module: graph.find_modules_directly_imported_by(module) - {"raybench"}
        for module in graph.modules - {"raybench"}
    }
    assert list(graphlib.TopologicalSorter(imports).static_order())


def test_every_unit_test_mirrors_a_module() -> None:
    """``tests/unit/<package>/test_<module>.py``; what spans packages lies in ``tests/unit``."""
    tests = Path(__file__).parent
    strangers = []
    for path in tests.glob("*/**/test_*.py"):
        folder = path.parent.relative_to(tests)
        name = path.stem.removeprefix("test_")
        file = "__init__.py" if name == folder.name else f"{name}.py"
        home = PACKAGE.parent if folder.name == "benchmarks" else PACKAGE
        if not (home / folder / file).is_file():
            strangers.append(str(path.relative_to(tests)))
    assert strangers == []


TESTED_BY = {
    "__init__": "unit/test_api.py",
    "__main__": "unit/slurm/test_job.py",
    "api": "unit/test_api.py",
    "errors": "unit/cli/test_main.py",
    "settings": "unit/test_settings.py",
    **dict.fromkeys(("analysis/columns", "analysis/row"), "unit/analysis/test_frame.py"),
    **dict.fromkeys(
        (
            *("analysis/cells", "analysis/configurations", "analysis/notes"),
            *("analysis/quantities", "analysis/stability"),
        ),
        "unit/analysis/test_tables.py",
    ),
    **dict.fromkeys(
        (
            *("catalog/datasets/arrays", "catalog/datasets/base", "catalog/datasets/cache"),
            *("catalog/datasets/cifar10", "catalog/datasets/digits", "catalog/datasets/idx"),
            *("catalog/datasets/fashionmnist", "catalog/datasets/kmnist", "catalog/datasets/mnist"),
            "catalog/datasets/synthetic",
        ),
        "unit/catalog/datasets/test_datasets.py",
    ),
    **dict.fromkeys(
        ("catalog/models/base", "catalog/models/torchvision"),
        "unit/catalog/models/test_models.py",
    ),
    **dict.fromkeys(
        (
            *("cli/autotune", "cli/demo", "cli/grid", "cli/options", "cli/output", "cli/plan"),
            *("cli/run", "cli/submit"),
        ),
        "unit/cli/test_main.py",
    ),
    "cli/doctor": "unit/launch/test_checks.py",
    **dict.fromkeys(
        (
            *("launch/grid", "launch/local", "launch/options", "launch/tune/__init__"),
            *("launch/tune/actor", "launch/tune/board", "launch/tune/callbacks"),
            *("launch/tune/run", "launch/tune/search"),
        ),
        "ray/test_grid.py",
    ),
    **dict.fromkeys(
        ("report/__init__", "report/parts", "report/tables"),
        "unit/report/test_text.py",
    ),
    **dict.fromkeys(("report/plan", "schedule/plan"), "unit/test_golden.py"),
    **dict.fromkeys(("system/cpus", "system/facts"), "unit/system/test_software.py"),
    "record/plausible": "unit/trial/test_summary.py",
    "trial/autotune/attempt": "unit/trial/autotune/test_search.py",
    **dict.fromkeys(
        ("trial/input/loader", "trial/input/pipeline", "trial/input/resident"),
        "unit/trial/input/test_input.py",
    ),
}
"""What tests the modules that have no test file of their own: the one whose code calls them, so
that they are tested where they are put to use."""


def test_every_module_has_its_test() -> None:
    """In the file of its name, or in the one that ``TESTED_BY`` names."""
    tests = Path(__file__).parents[1]
    untested = []
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("")
        name = module.parent.name if module.name == "__init__" else module.name
        own = tests / "unit" / module.parent / f"test_{name}.py"
        empty = len(path.read_text("utf-8").splitlines()) < 2  # nothing but a docstring
        if not (empty or own.is_file() or (tests / TESTED_BY.get(str(module), "-")).is_file()):
            untested.append(str(module))
    assert untested == []


def test_only_one_package_imports_tune() -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(
            r"^\s*(from|import) ray(\.tune| import tune)", path.read_text("utf-8"), re.MULTILINE
        )
    }
    assert users
    assert {name for name in users if not name.startswith("launch/tune/")} == set()


LIGHT = {
    "checking a spec": (
        "import raybench.spec.grid, raybench.catalog.datasets",
        {"torch", "torchvision", "ray", "pandas", "numpy", "scipy", "sklearn", "platformdirs"},
    ),
    "asking for a trial's process": (
        "import raybench.trial.process.trial_process",
        {"torch", "torchvision", "ray", "pandas", "numpy", "scipy"},
    ),
    "help": (
        "command('--help')",
        {"torch", "torchvision", "ray", "pandas", "numpy", "scipy"},
    ),
    "a plan": (
        "command('plan', sys.argv[1])",
        {"torch", "torchvision", "ray", "pandas"},
    ),
    "tables": (
        "import raybench.analysis.published, raybench.report.tables, raybench.report.text",
        {"torch", "torchvision", "ray", "matplotlib", "scipy", "pandas", "numpy"},
    ),
}
"""What has to stay light, each with what it may not load; one after the other in one process, so
that nothing is loaded by an earlier one which a later one may not load."""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Return the packages that are loaded after each of ``LIGHT``."""
    before = (
        "import sys\n"
        "from raybench.cli.main import main\n"
        "def command(*arguments):\n"
        "    sys.argv[:] = ['raybench', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert end.code in (None, 0, 1), end.code\n"
    )
    code = before + "".join(
        f"{step}\nprint('LOADED', *{{name.partition('.')[0] for name in sys.modules}})\n"
        for step, _ in LIGHT.values()
    )
    command = [sys.executable, "-c", code, str(PACKAGE / "cli" / "demo.yaml")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split()[1:] for line in out.splitlines() if line.startswith("LOADED")]
    return {what: set(names) for what, names in zip(LIGHT, lines, strict=True)}


@pytest.mark.parametrize("what", LIGHT)
def test_what_must_stay_light_does(what: str, loaded: dict[str, set[str]]) -> None:
    assert "raybench" in loaded[what]
    assert LIGHT[what][1].isdisjoint(loaded[what])
