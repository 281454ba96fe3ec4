"""The batch scripts in a folder of the user's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from raybench import __version__
from raybench.errors import ClusterError
from raybench.slurm import batch_files
from raybench.slurm.batch_files import FILES, VERSION, source, write_batch_files

REPOSITORY = Path(__file__).parents[3]


def test_every_script_of_the_checkout_is_handed_out() -> None:
    patterns = ("*.sbatch", "*.sh", "*.example", "environments/*.sh", "environments/*.txt")
    there = [path for pattern in patterns for path in (REPOSITORY / "cluster").glob(pattern)]
    assert {path.relative_to(REPOSITORY).as_posix() for path in there} | {
        "experiments/paper.yaml"
    } == set(FILES.values())


def test_the_folder_holds_each_file_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "of" / "mine"
    assert write_batch_files(folder) == [folder / name for name in (*FILES, VERSION)]
    for name in FILES:
        assert (folder / name).read_bytes() == source(name).read_bytes()
        assert (folder / name).stat().st_mode == source(name).stat().st_mode
    assert (folder / "node.sh").stat().st_mode & 0o111
    assert (folder / VERSION).read_text() == f"raybench=={__version__}\n"


def test_what_is_there_is_named_and_kept(tmp_path: Path) -> None:
    (tmp_path / "environments").mkdir()
    mine = tmp_path / "environments" / "create.sh"
    mine.write_text("mine\n")
    (tmp_path / "site.env").write_text("also mine\n")
    with pytest.raises(ClusterError, match=r"environments/create\.sh already") as raised:
        write_batch_files(tmp_path)
    assert "site.env" not in raised.value.message
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "create.sh",
        "site.env",
    ]
    write_batch_files(tmp_path, force=True)
    assert mine.read_bytes() == source("environments/create.sh").read_bytes()
    assert (tmp_path / "site.env").read_text() == "also mine\n"


def test_an_installed_package_hands_out_its_own_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, "__file__", str(tmp_path / "slurm" / "batch_files.py"))
    copy = tmp_path / "slurm" / "files" / "common.sh"
    copy.parent.mkdir(parents=True)
    copy.touch()
    assert source("common.sh") == copy


def test_each_script_is_good_bash() -> None:
    scripts = [path for path in FILES.values() if path.endswith(("sh", "sbatch", "example"))]
    for script in scripts:
        subprocess.run(["bash", "-n", script], cwd=REPOSITORY, check=True)


UV = """#!/bin/sh
echo "$@" >>"$LOG"
[ "$1" = venv ] || exit 0
for folder; do :; done
mkdir -p "$folder/bin"
printf '#!/bin/sh\\n' >"$folder/bin/python"
chmod +x "$folder/bin/python"
"""


@pytest.mark.parametrize(
    ("script", "variables", "raybench"),
    [
        ("checkout", {}, f"--editable {REPOSITORY}/cluster/environments/../.."),
        ("of mine", {}, f"raybench=={__version__}"),
        ("of mine", {"RAYBENCH_PACKAGE": "/tmp/my.whl"}, "/tmp/my.whl"),
    ],
)
@pytest.mark.parametrize("name", ["current", "pascal-hopper"])
def test_an_environment_has_the_raybench_that_is_at_hand(
    name: str, script: str, variables: dict[str, str], raybench: str, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    write_batch_files(folder)
    home = REPOSITORY / "cluster" if script == "checkout" else folder
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(UV)
    uv.chmod(0o755)
    given = {"PATH": f"{uv.parent}:/usr/bin:/bin", "LOG": str(tmp_path / "log"), **variables}
    command = [str(home / "environments" / "create.sh"), name, str(tmp_path / "built")]
    subprocess.run(command, check=True, env=given, capture_output=True)
    _, requirements, own = (tmp_path / "log").read_text().splitlines()
    assert ("--torch-backend=cu126" in requirements) is (name == "pascal-hopper")
    assert requirements.endswith(f"--requirement {home}/environments/{name}.txt")
    assert own.endswith(f"--no-deps {raybench}")
