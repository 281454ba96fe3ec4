"""What all tests share: small models that a trial can import, and folders of their own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

SUPPORT = Path(__file__).parent / "support"
# Processes that the tests start import the small models by name, as a user's own model would be.
sys.path.insert(0, str(SUPPORT))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
# OpenMP's threads wait asleep, not spinning: beside a busy process a spinning step takes seconds.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

# No test depends on how fast the machine is.
hypothesis.settings.register_profile("raybench", deadline=None)
hypothesis.settings.load_profile("raybench")


@pytest.fixture(autouse=True)
def _own_folders(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep every test away from the user's results, data and cluster.

    The cache is one for all tests: to decode a dataset takes seconds.
    """
    monkeypatch.setenv("RAYBENCH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("RAYBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RAYBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in (
        *("RAY_ADDRESS", "RAYBENCH_DEBUG", "RAYBENCH_HARDWARE", "RAYBENCH_SIMULATED_GPU"),
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def records_follow_the_schema(tmp_path: Path) -> Iterator[None]:
    """Hold every record that a test has written against the published schema."""
    yield
    import jsonschema

    from raybench.record.schema import TrialRecord

    validator = jsonschema.Draft202012Validator(TrialRecord.model_json_schema())
    for path in tmp_path.rglob("records/*.json"):
        validator.validate(json.loads(path.read_text(encoding="utf-8")))
