"""What an experiment's autotunes have found, kept so that all repeats are executed alike.

A file's name holds what is left open and what is not (the configuration's hash), and a hash of
raybench's version and torch's: another version finds anew. Experiments of raybench before schema
version 3 keep theirs in ``tune-up/``, where they are still found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

import raybench
from raybench.record.autotune import Autotune
from raybench.record.files import write_once
from raybench.record.store import Experiment
from raybench.record.upgrades import autotune_of_version_2
from raybench.spec.trial import TrialSpec

FOLDER, OLD_FOLDER = "autotune", "tune-up"


def known(experiment: Experiment, spec: TrialSpec) -> Autotune | None:
    """Return what was found before; a damaged file does not count, and goes."""
    for path in filter(Path.exists, _paths(experiment, spec)):
        with suppress(FileNotFoundError):
            if (found := _parsed(path.read_bytes())) is not None:
                return found
            path.unlink()
    return None


def keep(experiment: Experiment, spec: TrialSpec, found: Autotune) -> Autotune:
    """Keep what was found, unless another process was first; return what then holds.

    Raises:
        ResultsError: the folder cannot be written.
    """
    path = next(_paths(experiment, spec))
    return _parsed(write_once(path, found.model_dump_json(indent=1).encode() + b"\n")) or found


def forget(experiment: Experiment, spec: TrialSpec) -> None:
    """Forget what was found before."""
    for path in _paths(experiment, spec):
        path.unlink(missing_ok=True)


def _paths(experiment: Experiment, spec: TrialSpec) -> Iterator[Path]:
    """Return where the autotune of a spec and its repeats lies or will lie, then where it did."""
    model = spec.model.rsplit(":", 1)[-1]
    name = f"{model}-{spec.dataset}-{spec.hardware}".replace(":", "")
    versions = f"torch {torch.__version__} {raybench.__version__}"
    version = hashlib.sha256(versions.encode()).hexdigest()[:4]
    for folder in (FOLDER, OLD_FOLDER):
        yield experiment.folder / folder / f"{name}-{spec.configuration_id}-{version}.json"


def _parsed(content: bytes) -> Autotune | None:
    """Return what a file holds, or None if it is damaged."""
    try:
        return Autotune.model_validate(autotune_of_version_2(json.loads(content)))
    except (ValueError, AttributeError, RecursionError):
        return None
