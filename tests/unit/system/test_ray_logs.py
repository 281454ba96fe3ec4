"""The end of Ray's own logs."""

from __future__ import annotations

from pathlib import Path

from raybench.system.ray_logs import log_end


def test_the_end_of_raylets_log_of_the_last_session(tmp_path: Path) -> None:
    for session in ("session_2026-11-23_10-00-00_1_1", "session_2026-11-24_09-00-00_1_1"):
        logs = tmp_path / session / "logs"
        logs.mkdir(parents=True)
        (logs / "gcs_server.out").write_text("the server began\n")
        (logs / "raylet.err").write_text("\n")
        (logs / "raylet.out").write_text("".join(f"{session} {n}\n" for n in range(30)))
    assert log_end(tmp_path, 2).splitlines() == [
        f"--- the end of {logs / 'raylet.out'}",
        f"{session} 28",
        f"{session} 29",
    ]


def test_the_servers_log_where_raylet_did_not_begin(tmp_path: Path) -> None:
    assert log_end(tmp_path) == ""
    logs = tmp_path / "session_2026-11-24_09-00-00_1_1" / "logs"
    logs.mkdir(parents=True)
    assert log_end(tmp_path) == ""
    (logs / "gcs_server.err").write_text("Failed to bind to port 6379\n")
    assert log_end(tmp_path).endswith("\nFailed to bind to port 6379")
