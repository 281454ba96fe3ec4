"""How long until Ray runs on all hosts of a Slurm job: this project's way and two others.

    python experiments/startup.py --hosts 2 4 6 --repeats 3 [-- SBATCH_OPTION...]

Each figure is the time from the first line of the batch script until every host has joined, as the
script itself prints it. The three ways take turns, so that what else the machine does falls on all.
It submits jobs of its own and needs nodes that no other job of yours runs Ray on: the other ways
use fixed ports, and `ray symmetric-run` ends by stopping every Ray process of yours on a host.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
JOINED = re.compile(r"(\d+) hosts joined (\d+\.\d+) s after the batch script began")
LIMIT_S = 150

BATCH = f"""#!/usr/bin/env bash
#SBATCH --job-name=startup --ntasks-per-node=1 --output=raybench-%j.log
started=$EPOCHREALTIME
export PATH={Path(sys.executable).parent}:$PATH RAY_AUTH_MODE=disabled
export RAYBENCH_BATCH_STARTED=$started
hosts=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
ip=$(python -c '
import subprocess, sys
from raybench.cluster import address_of_host
facts = subprocess.check_output(["scontrol", "show", "node", sys.argv[1]], text=True)
print(address_of_host(facts.partition("NodeAddr=")[2].split()[0]))' "${{hosts[0]}}")
"""
# A head, then the others one after another, with the pauses of the script that Ray's documentation
# had before symmetric-run; it never looks whether they have joined, so that look is added here.
FIXED_SLEEPS = (
    BATCH
    + """
srun --overlap --nodes=1 --ntasks=1 --nodelist="${hosts[0]}" \\
  ray start --head --node-ip-address="$ip" --port=6379 --block &
sleep 10
for host in "${hosts[@]:1}"; do
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$host" ray start --address="$ip:6379" --block &
  sleep 5
done
python -c '
import os, sys, time
from raybench.cluster import ray_nodes
while len(ray_nodes(sys.argv[1])) < int(sys.argv[2]): time.sleep(0.1)
passed = time.time() - float(os.environ["RAYBENCH_BATCH_STARTED"])
print(f"{sys.argv[2]} hosts joined {passed:.1f} s after the batch script began", flush=True)
' "$ip:6379" "${#hosts[@]}"
srun --overlap --nodes="${#hosts[@]}" --ntasks="${#hosts[@]}" ray stop
"""
)
SYMMETRIC_RUN = (
    BATCH
    + """
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=240
srun --nodes="${#hosts[@]}" --ntasks="${#hosts[@]}" \\
  ray symmetric-run --address "$ip:6379" --min-nodes "${#hosts[@]}" -- python -c '
import os, time
passed = time.time() - float(os.environ["RAYBENCH_BATCH_STARTED"])
hosts = os.environ["SLURM_NNODES"]
print(f"{hosts} hosts joined {passed:.1f} s after the batch script began", flush=True)'
"""
)


def scripts(folder: Path) -> dict[str, list[str]]:
    """Write the other ways' scripts, and return what to submit for each."""
    commands = {"raybench": [str(HOME / "cluster" / "start_ray.sbatch"), "--hold"]}
    for name, text in (("fixed sleeps", FIXED_SLEEPS), ("symmetric-run", SYMMETRIC_RUN)):
        path = folder / f"{name.replace(' ', '-')}.sbatch"
        path.write_text(text)
        commands[name] = [str(path)]
    return commands


def measure(command: list[str], hosts: int, options: list[str], folder: Path) -> float | None:
    """Submit one job, read its figure from its log, or None after the limit, and end it."""
    submit = ["sbatch", "--parsable", f"--nodes={hosts}", f"--chdir={folder}", *options, *command]
    environ = os.environ | {"RAYBENCH_RESULTS": str(folder / "results")}
    job = subprocess.check_output(submit, text=True, env=environ).strip()
    log = folder / f"raybench-{job}.log"
    until = time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < until:
            found = JOINED.search(log.read_text()) if log.exists() else None
            if found:
                # The other ways' scripts stop Ray themselves; a held cluster waits for scancel.
                wait_for_end(job, 0 if "--hold" in command else 60)
                return float(found[2])
            if has_ended(job):
                raise SystemExit(f"job {job} ended without a figure; see {log}")
            time.sleep(0.5)
    finally:
        subprocess.run(["scancel", job], check=False)
        wait_for_end(job, 60)
    return None


def has_ended(job: str) -> bool:
    """Whether a job is in no queue any more."""
    shown = subprocess.run(
        ["squeue", "-h", "-j", job], check=False, stdout=subprocess.PIPE, text=True
    )
    return not shown.stdout.strip()


def wait_for_end(job: str, limit_s: float) -> None:
    """Wait for a job to end, but no longer than the limit."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until and not has_ended(job):
        time.sleep(0.5)


def main() -> None:
    """Measure in turns, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 4, 6])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on a file system that all hosts share")
    parser.add_argument("options", nargs="*", help="further options of sbatch, after --")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="startup-", dir=given.folder or Path.cwd()))
    commands = scripts(folder)
    figures: dict[tuple[str, int], list[float | None]] = {}
    for repeat in range(given.repeats):
        for hosts in given.hosts:
            for name, command in commands.items():
                seconds = measure(command, hosts, given.options, folder)
                figures.setdefault((name, hosts), []).append(seconds)
                print(f"repeat {repeat + 1}: {name}, {hosts} hosts: {text([seconds])}", flush=True)
    print("\n| until all have joined | " + " | ".join(f"{n} hosts" for n in given.hosts) + " |")
    print("|---|" + "---|" * len(given.hosts))
    for name in commands:
        cells = [text(figures[name, hosts]) for hosts in given.hosts]
        print(f"| {name} | " + " | ".join(cells) + " |")


def text(values: list[float | None]) -> str:
    """Write figures as median and range, and how many there are not."""
    there = [value for value in values if value is not None]
    late = f"{len(values) - len(there)} × over {LIMIT_S} s" if len(there) < len(values) else ""
    if not there:
        return late
    spread = f" ({min(there):.1f}–{max(there):.1f})" if len(there) > 1 else ""
    return f"{statistics.median(there):.1f} s{spread}" + (f", {late}" if late else "")


if __name__ == "__main__":
    main()
