"""Private folders, tokens, and what is known of a running cluster."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from raybench.errors import ClusterError


def create_private_folder(folder: Path) -> Path:
    """Create a folder that only its owner can enter, and refuse one that somebody else made.

    Raises:
        ClusterError: it belongs to another user, or is a link.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if folder.is_symlink() or facts.st_uid != os.getuid():
        raise ClusterError(f"{folder} is not ours", hint="remove it, or choose another place")
    folder.chmod(0o700)
    return folder


def job_folder(state_root: Path, job: str) -> Path:
    """Return the private folder of a job, below a folder that all nodes share."""
    return create_private_folder(state_root) / f"job-{job}"


@contextlib.contextmanager
def private_folder(folder: Path) -> Iterator[Path]:
    """Give a job its private folder as long as it runs."""
    try:
        yield create_private_folder(folder)
    finally:
        shutil.rmtree(folder)


def create_token(folder: Path) -> Path:
    """Write a fresh token, 0600, in a private folder, and return its path."""
    path = folder / "token"
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path


def token_variables(token: Path) -> dict[str, str]:
    """Return the variables that turn Ray's token authentication on, for driver, nodes and users.

    The path outranks ``~/.ray/auth_token``, so that a token left there changes nothing; a
    ``RAY_AUTH_TOKEN`` would outrank the path and is therefore emptied by those who use this.
    """
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


@dataclass(frozen=True, kw_only=True)
class RunningCluster:
    """What a running cluster leaves for those who join it or submit to it; never the token itself.

    Attributes:
        job: the scheduler's id of the job that runs it.
        address: Ray's ``address:port`` on the head.
        dashboard: ``http://127.0.0.1:port`` on the head.
        head: the head's name in the scheduler.
        results: the results folder.
    """

    job: str
    address: str
    dashboard: str
    head: str
    results: str

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all, into the job's private folder."""
        temporary = folder / "cluster.json.new"
        temporary.write_text(json.dumps(asdict(self)) + "\n")
        temporary.replace(folder / "cluster.json")

    @classmethod
    def read(cls, folder: Path) -> RunningCluster:
        """Read it.

        Raises:
            ClusterError: the job does not run a cluster of this user.
        """
        try:
            return cls(**json.loads((folder / "cluster.json").read_text()))
        except (OSError, ValueError, TypeError):
            raise ClusterError(
                f"{folder.name} runs no Ray cluster that this user can join: "
                f"there is no {folder / 'cluster.json'}",
                hint="see `squeue --me` for the id of a job that has started",
            ) from None
