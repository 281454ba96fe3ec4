"""The structure of the package: imports go downward only, and what must stay light does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "raybench"

LAYERS = (
    ("errors",),
    ("catalog", "processes"),
    ("spec",),
    ("record", "placement"),
    ("store", "sanity", "measure", "estimate"),
    ("inputs", "training", "analysis"),
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
        path.name
        for path in PACKAGE.rglob("*.py")
        if "ray.tune" in path.read_text(encoding="utf-8")
    ]
    assert "grid.py" in users
    importing = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if "import tune" in path.read_text(encoding="utf-8")
    ]
    assert importing == ["grid.py"]


def test_help_is_light() -> None:
    code = (
        "import sys; sys.argv = ['raybench', '--help']\n"
        "from raybench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split("LOADED")[1].split())
    assert {"torch", "ray", "pandas", "numpy", "torchvision", "scipy"}.isdisjoint(loaded)


def test_a_plan_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['raybench', 'plan', sys.argv[1]]\n"
        "from raybench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    grid = PACKAGE / "demo.yaml"
    out = subprocess.run(
        [sys.executable, "-c", code, str(grid)], capture_output=True, text=True, check=True
    )
    loaded = set(out.stdout.split("LOADED")[1].split())
    assert {"torch", "ray", "pandas", "torchvision"}.isdisjoint(loaded)
