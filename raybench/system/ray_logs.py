"""What Ray's own processes wrote, for the message of a Ray that did not start."""

from __future__ import annotations

from pathlib import Path

TELLING = ("raylet.err", "raylet.out", "gcs_server.err", "gcs_server.out")
"""The logs that say why a node did not come up, the most telling first; often some are empty."""


def log_end(temp_dir: Path, lines: int = 12) -> str:
    """Return the end of raylet's own log, or of the head's server's where raylet did not begin.

    Args:
        temp_dir: Ray's temporary folder, which holds a folder for each session.
        lines: how many lines at most.

    Returns:
        the log's path and its last lines, or "" if nothing was written.
    """
    sessions = sorted(temp_dir.glob("session_2*/logs"))
    for name in TELLING if sessions else ():
        log = sessions[-1] / name
        text = log.read_text(errors="replace").strip() if log.exists() else ""
        if text:
            return "\n".join([f"--- the end of {log}", *text.splitlines()[-lines:]])
    return ""
