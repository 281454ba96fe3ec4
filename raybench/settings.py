"""Where results, datasets and decoded datasets lie."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_RESULTS = Path("results")


def results_root(given: Path | None = None) -> Path:
    """Return the folder that experiments lie in: given, ``RAYBENCH_RESULTS``, or ``./results``."""
    return given or Path(os.environ.get("RAYBENCH_RESULTS") or DEFAULT_RESULTS)


def data_root(given: Path | None = None) -> Path:
    """Return the folder of datasets: given, ``RAYBENCH_DATA``, or the user's data folder."""
    if given is not None:
        return given
    if os.environ.get("RAYBENCH_DATA"):
        return Path(os.environ["RAYBENCH_DATA"])
    import platformdirs  # noqa: PLC0415 - `--help` should not wait for it

    return platformdirs.user_data_path("raybench")


def cache_root() -> Path:
    """Return the folder of decoded datasets: ``RAYBENCH_CACHE``, or the user's cache folder."""
    given = os.environ.get("RAYBENCH_CACHE")
    if given:
        return Path(given)
    import platformdirs  # noqa: PLC0415 - specs are checked without it

    return platformdirs.user_cache_path("raybench")
