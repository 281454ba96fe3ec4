"""A trial's id never changes: results are found again by it, in folders that users have.

`golden_ids.json` holds specs as users give them, with the id of each and that of its configuration
(the same without repeat and seed). Lines are added to it, and none is ever changed. The records of
`records/v1` to `records/v3` are such as each version wrote, with their file names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data"
GOLDEN = json.loads((DATA / "golden_ids.json").read_text(encoding="utf-8"))
RECORDS = {
    version: sorted((DATA / "records" / version).glob("*/records/*.json"))
    for version in ("v1", "v2", "v3")
}
MANIFESTS = sorted((DATA / "records").glob("v?/*/manifest.json"))


def relative(path: Path) -> str:
    return str(path.relative_to(DATA / "records"))


def build(fields: dict[str, Any]) -> Any:
    from raybench.spec.trial import trial_spec

    return trial_spec(fields)


def read(path: Path) -> Any:
    from raybench.record.upgrades import read_record

    return read_record(path.read_bytes(), str(path))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["trial_id"])
def test_an_id_is_as_it_was(golden: dict[str, Any]) -> None:
    spec = build(golden["fields"])
    assert spec.trial_id == golden["trial_id"]
    assert spec.configuration_id == golden["configuration"]


def test_the_golden_specs_span_the_25_fields_of_version_2() -> None:
    assert len(GOLDEN) >= 40
    assert GOLDEN[0]["trial_id"] == "resnet18-mnist-P100-r0-0099b30600"
    assert len({golden["trial_id"] for golden in GOLDEN}) == len(GOLDEN)
    assert len({name for golden in GOLDEN for name in golden["fields"]}) == 25


def test_there_are_records_of_each_version() -> None:
    counts = {version: len(paths) for version, paths in RECORDS.items()}
    assert counts == {"v1": 13, "v2": 130, "v3": 21}


@pytest.mark.parametrize("path", [*RECORDS["v2"], *RECORDS["v3"]], ids=relative)
def test_a_record_is_read_and_found_by_its_id(path: Path) -> None:
    record = read(path)
    assert path.stem == record.trial_id == record.spec.trial_id
    assert record.unexplained() == []


@pytest.mark.parametrize("path", RECORDS["v1"], ids=relative)
def test_a_record_of_version_1_is_read(path: Path) -> None:
    """Its id is the hash of a spec that had two fields less, so its spec has another id today."""
    record = read(path)
    assert path.stem == record.trial_id
    assert record.unexplained() == []
    given = json.loads(path.read_text(encoding="utf-8"))["spec"]
    read_spec = record.spec.model_dump(mode="json")
    assert {name: read_spec[name] for name in given} == given


@pytest.mark.parametrize("path", MANIFESTS, ids=relative)
def test_a_manifest_is_read(path: Path) -> None:
    from raybench.record.store import Experiment

    planned = Experiment(path.parent).planned()
    assert planned
    if path.relative_to(DATA / "records").parts[0] != "v1":
        assert list(planned) == [spec.trial_id for spec in planned.values()]


@pytest.mark.parametrize("name", ["best", "runs"])
def test_a_tune_up_is_found_by_its_configuration(name: str) -> None:
    from raybench.record.store import Experiment

    folder = Experiment(DATA / "records" / "v2" / name)
    found = set()
    for path in (folder.folder / "records").glob("*.json"):
        record = read(path)
        if record.autotune is not None:
            configuration = record.spec.configuration_id
            found.add(configuration)
            assert any(configuration in file.name for file in tune_ups(folder.folder))
    assert len(found) == len(tune_ups(folder.folder))


def tune_ups(folder: Path) -> list[Path]:
    return sorted((folder / "tune-up").iterdir())
