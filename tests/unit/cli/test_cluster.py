"""``raybench cluster init``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from raybench.cli.main import main


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["raybench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_init_writes_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scripts"
    assert run("cluster", "init", str(folder), monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert f"  cd {folder}\n" in said
    for name in re.findall(r"^  (?:cp |sbatch \S+ \S+ |(?=environments))(\S+)", said, re.MULTILINE):
        assert (folder / name).exists()
    assert (folder / "paper.yaml").exists()

    assert run("cluster", "init", str(folder), monkeypatch=monkeypatch) == 2
    assert "start_ray.sbatch" in capsys.readouterr().err
    assert run("cluster", "init", str(folder), "--force", monkeypatch=monkeypatch) == 0
