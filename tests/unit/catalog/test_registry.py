"""Names that are built in, and names that installed packages add."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import plugins
import pytest

from raybench.catalog import registry
from raybench.catalog.registry import Registry
from raybench.errors import SpecError


@dataclass(frozen=True)
class Thing:
    name: str
    title: str = "a thing"


GROUP = "raybench.things"
MODULE = "from {here} import Thing\nTHING = Thing({name!r})\n"


def things() -> Registry[Thing]:
    return Registry("thing", Thing, GROUP, lambda: [Thing("spade"), Thing("hoe")])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages can be installed in; what is imported from it is forgotten again."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(sys.modules, "things_of_tests", sys.modules[__name__])
    yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def add(site: Path, name: str, value: str, *, to: str = "shed", **modules: str) -> None:
    plugins.install(site, to, {GROUP: {name: value}}, modules)


def thing(name: str) -> str:
    return MODULE.format(here="things_of_tests", name=name)


def test_entry_points_are_not_read_for_what_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", None)
    found = things()
    assert found["spade"].name == found.canonical("SPADE") == "spade"
    assert "hoe" in found
    assert (found.origin("hoe"), found.title("hoe")) == ("raybench", "a thing")
    assert found.in_order(["rake", "hoe", "axe", "spade", "hoe"]) == ["spade", "hoe", "axe", "rake"]


def test_what_a_package_adds_comes_after_what_is_built_in(site: Path) -> None:
    add(site, "rake", "shed_rake:THING", shed_rake=thing("rake"))
    add(site, "axe", "shed_axe:THING", to="wood", shed_axe=thing("axe"))
    found = things()
    assert [*found] == ["spade", "hoe", "axe", "rake"]
    assert (len(found), "rake" in found, "saw" in found, found.get("saw")) == (4, True, False, None)
    assert found["rake"] is found[found.canonical("Rake")]
    assert (found.origin("rake"), found.origin("axe")) == ("shed 1.0", "wood 1.0")
    with pytest.raises(SpecError, match=r"unknown thing 'rakes'. did you mean 'rake'\?") as caught:
        found.canonical("rakes", also=" or nothing")
    assert caught.value.allowed == "spade, hoe, axe, rake or nothing"


def test_a_name_that_two_packages_use_is_refused_with_both(site: Path) -> None:
    add(site, "rake", "shed_rake:THING", shed_rake=thing("rake"))
    add(site, "rake", "wood_rake:THING", to="wood", wood_rake=thing("rake"))
    add(site, "axe", "wood_axe:THING", to="forge", wood_axe=thing("axe"))
    found = things()
    with pytest.raises(SpecError, match=r"'rake' is in both (shed|wood) 1.0 and (shed|wood) 1.0"):
        found["rake"]
    with pytest.raises(SpecError, match="'rake' is in both"):
        list(found)
    assert found["axe"].name == "axe"


def test_a_name_that_is_built_in_is_refused_to_a_package(site: Path) -> None:
    add(site, "hoe", "shed_hoe:THING", shed_hoe=thing("hoe"))
    found = things()
    assert found["hoe"] is found.built_in["hoe"]
    with pytest.raises(SpecError, match=r"'hoe' is in both raybench and shed 1.0"):
        list(found)


@pytest.mark.parametrize(
    ("value", "source", "reason"),
    [
        ("shed:THING", "import math\nwidth = math.no_such\n", r"no_such.*\(.*/shed\.py, line 2\)"),
        ("shed:THING", "import no_such\n", r"No module named 'no_such' \(.*/shed\.py, line 1\)"),
        ("shed:THING", "x = 1\ny = (\n", r"SyntaxError: .* \(.*/shed\.py, line 2\)"),
        ("shed:THING", "import json\n\njson.loads('[')\n", r"JSONDecode.*/shed\.py, line 3\)"),
        ("shed:NOTHING", "THING = 1\n", "cannot be imported from shed:NOTHING: AttributeError"),
        ("shed:THING", "THING = 1\n", "is none: shed:THING is of the type int(.|\n)*a Thing of"),
        ("shed:THING", thing("broom"), "'rake' of shed 1.0 calls itself 'broom' in shed:THING"),
        ("no_shed:THING", "", "cannot be imported from no_shed:THING: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_used_says_whose_it_is_and_where_it_fails(
    value: str, source: str, reason: str, site: Path
) -> None:
    add(site, "rake", value, shed=source)
    found = things()
    with pytest.raises(SpecError, match=reason) as caught:
        found["rake"]
    assert "'rake' of shed 1.0" in caught.value.message
    assert (found.title("rake"), [*found][-1]) == ("rake", "rake")


COMMANDS = """
import json, sys
from raybench.cli.main import main
print(flush=True)
for arguments in json.load(sys.stdin):
    sys.argv[:] = ["raybench", *arguments]
    print("$", *arguments, flush=True)
    try:
        main()
    except SystemExit as end:
        print("exit", end.code, flush=True)
"""


def commands(site: Path, *commands: list[str]) -> list[tuple[str, str]]:
    """Run commands in one process that has a folder on its path; return outputs and exit codes."""
    path = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input=json.dumps(commands),
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("\n$ ")[1:]
    return [part.partition("\n")[2].strip().rpartition("\n")[::2] for part in parts]


def test_a_package_of_ones_own_is_verified_planned_measured_and_shown(tmp_path: Path) -> None:
    site = plugins.install_garden(tmp_path / "site")
    plugins.plant(tmp_path / "data")
    grid = tmp_path / "grid.yaml"
    grid.write_text("{model: [tinynet, resnet18], dataset: flowers, hardware: 'cpu:1'}")
    trial = ["tinynet", "flowers", *["--hardware", "cpu:1", "--epochs", "1", "--image-size", "8"]]
    listed, verified, planned, measured, shown = commands(
        site,
        ["data", "list", "--json"],
        ["data", "verify", "flowers"],
        ["plan", str(grid), "--json"],
        ["run", *trial, "--json"],
        ["analyze", str(tmp_path / "results/runs")],
    )
    (flowers,) = (row for row in json.loads(listed[0]) if row["name"] == "flowers")
    assert (flowers["origin"], flowers["state"]) == ("garden 1.2", "present")
    assert verified == (
        f"ok       flowers       {tmp_path / 'data/flowers'}: 24 and 8 images of 8×8×3 decoded; "
        "no checksum of the arrays is known here, structure checked",
        "exit 0",
    )
    assert {row["spec"]["model"] for row in json.loads(planned[0])["trials"]} == {
        *("tinynet", "resnet18")
    }
    record = json.loads(measured[0])
    assert record["status"] == "completed"
    assert record["dataset"]["train_images"] == 24
    assert record["dataset"]["origin"] == record["model"]["origin"] == "garden 1.2"
    assert record["dataset"]["origin"] == record["model"]["origin"] == "garden 1.2"
    assert "TinyNet" in shown[0]
    assert "Flowers" in shown[0]
