"""The structure of the package: imports go downward only, and what must stay light does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "raybench"

LAYERS = (
    ("errors",),
    ("catalog", "processes"),
    ("spec",),
    ("record", "placement"),
    ("store", "sanity", "measure", "estimate"),
    ("inputs", "training", "analysis", "ordering"),
    ("epochs", "tune_up", "report", "ray_session"),
    ("trial",),
    ("worker", "cluster"),
    ("grid", "jobs"),
    ("cli",),
)
"""Rooms from the ground up: a room imports from lower ones, and from its own."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    """Yield the rooms that a module imports, inside functions too; not those for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("raybench"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "raybench" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


def test_every_room_has_a_level() -> None:
    rooms = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms == {name for layer in LAYERS for name in layer}


def test_imports_go_downward_only() -> None:
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    upward = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in PACKAGE.rglob("*.py")
        if room(path) in level
        for other in imported_rooms(path)
        if other != room(path) and level[other] >= level[room(path)]
    ]
    assert upward == []


def test_only_the_grid_imports_tune() -> None:
    users = [
        room(path)
        for path in PACKAGE.rglob("*.py")
        if "import tune" in path.read_text(encoding="utf-8")
    ]
    assert set(users) == {"grid"}


LIGHT = {
    "checking a spec": (
        "import raybench.spec, raybench.catalog.datasets",
        {"torch", "torchvision", "ray", "pandas", "numpy", "scipy", "sklearn", "platformdirs"},
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
        "import raybench.analysis.tables, raybench.analysis.reference, raybench.report.text",
        {"torch", "torchvision", "ray", "matplotlib", "scipy"},
    ),
}
"""What has to stay light, each with what it may not load; one after the other in one process, so
that nothing is loaded by an earlier one which a later one may not load."""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Return the packages that are loaded after each of ``LIGHT``."""
    before = (
        "import sys\n"
        "from raybench.cli import main\n"
        "def command(*arguments):\n"
        "    sys.argv[:] = ['raybench', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert end.code in (None, 0, 1), end.code\n"
    )
    code = before + "".join(
        f"{step}\nprint('LOADED', *{{name.partition('.')[0] for name in sys.modules}})\n"
        for step, _ in LIGHT.values()
    )
    command = [sys.executable, "-c", code, str(PACKAGE / "demo.yaml")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split()[1:] for line in out.splitlines() if line.startswith("LOADED")]
    return {what: set(names) for what, names in zip(LIGHT, lines, strict=True)}


@pytest.mark.parametrize("what", LIGHT)
def test_what_must_stay_light_does(what: str, loaded: dict[str, set[str]]) -> None:
    assert "raybench" in loaded[what]
    assert LIGHT[what][1].isdisjoint(loaded[what])
