"""How long until Ray runs on all hosts of a Slurm job: this project's way and two others.

    python benchmarks/startup.py --hosts 2 4 6 --repeats 3 [-- SBATCH_OPTION...]

Each figure is the time from the first line of the batch script until every host has joined, as the
script itself prints it. The three ways take turns, so that what else the machine does falls on all;
one that fails or does not come to its end in time is a result like any other, and is named.
It submits jobs of its own and needs nodes that no other job of yours runs Ray on: the other ways
use fixed ports, and after each every Ray process of yours on its hosts is stopped.
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
from collections import Counter
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
JOINED = re.compile(r"(\d+) nodes? joined (\d+\.\d+) s after the batch script began")
LIMIT_S = 150

BATCH = f"""#!/usr/bin/env bash
#SBATCH --job-name=startup --ntasks-per-node=1 --output=raybench-%j.log
started=$EPOCHREALTIME
export PATH={Path(sys.executable).parent}:$PATH RAY_AUTH_MODE=disabled
export RAYBENCH_BATCH_STARTED=$started
# When the job is cancelled, Ray is to end at once.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
hosts=($(scontrol show hostnames "$SLURM_JOB_NODELIST"))
ip=$(python -c '
import subprocess, sys
from raybench.launch.batch.network import address_of_node
facts = subprocess.check_output(["scontrol", "show", "node", sys.argv[1]], text=True)
print(address_of_node(facts.partition("NodeAddr=")[2].split()[0]))' "${{hosts[0]}}")
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
from raybench.system.ray_gcs import ray_nodes
while len(ray_nodes(sys.argv[1])) < int(sys.argv[2]): time.sleep(0.1)
passed = time.time() - float(os.environ["RAYBENCH_BATCH_STARTED"])
print(f"{sys.argv[2]} nodes joined {passed:.1f} s after the batch script began", flush=True)
' "$ip:6379" "${#hosts[@]}"
wait
"""
)
SYMMETRIC_RUN = (
    BATCH
    + f"""
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT={LIMIT_S}
"""
    + """
srun --nodes="${#hosts[@]}" --ntasks="${#hosts[@]}" \\
  ray symmetric-run --address "$ip:6379" --min-nodes "${#hosts[@]}" -- python -c '
import os, time
passed = time.time() - float(os.environ["RAYBENCH_BATCH_STARTED"])
hosts = os.environ["SLURM_NNODES"]
print(f"{hosts} nodes joined {passed:.1f} s after the batch script began", flush=True)'
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


def measure(command: list[str], hosts: int, options: list[str], folder: Path) -> float | str:
    """Submit one job, read its figure from its log, and end it.

    Returns:
        seconds, or in words why there is no figure.
    """
    submit = ["sbatch", "--parsable", f"--nodes={hosts}", f"--chdir={folder}", *options, *command]
    environ = os.environ | {"RAYBENCH_RESULTS": str(folder / "results")}
    submitted = subprocess.run(submit, check=False, capture_output=True, text=True, env=environ)
    if submitted.returncode != 0:
        print(submitted.stderr, flush=True)
        return "refused"
    job = submitted.stdout.strip()
    log = folder / f"raybench-{job}.log"
    until = time.monotonic() + LIMIT_S
    figure: float | str = f"not within {LIMIT_S} s"
    while time.monotonic() < until:
        ended = has_ended(job)
        said = log.read_text(errors="replace") if log.exists() else ""
        if found := JOINED.search(said):
            figure = float(found[2])
            break
        if ended:
            figure = "failed"
            break
        time.sleep(0.5)
    nodes = scontrol_field(job, "NodeList")
    subprocess.run(["scancel", job], check=True)
    wait_for_end(job)
    if "--hold" not in command and nodes not in ("", "(null)"):
        stop_ray(nodes, options, folder)
    if isinstance(figure, str):
        print(
            f"job {job} {figure}; the end of {log}:",
            *said.splitlines()[-10:],
            sep="\n  ",
            flush=True,
        )
    return figure


def stop_ray(nodes: str, options: list[str], folder: Path) -> None:
    """End what a cancelled job may have left running, for the sake of the next one."""
    hosts = subprocess.check_output(["scontrol", "show", "hostnames", nodes], text=True).split()
    ray = str(Path(sys.executable).with_name("ray"))
    command = ["srun", *options, f"--nodes={len(hosts)}", f"--nodelist={nodes}"]
    command += ["--ntasks-per-node=1", f"--chdir={folder}", ray, "stop", "--force"]
    subprocess.run(command, check=False, timeout=LIMIT_S, stdout=subprocess.DEVNULL)


def scontrol_field(job: str, name: str) -> str:
    """Return what Slurm says of a job."""
    shown = subprocess.check_output(["scontrol", "show", "job", "-o", job], text=True)
    return next(word for word in shown.split() if word.startswith(f"{name}=")).partition("=")[2]


def has_ended(job: str) -> bool:
    """Whether a job is in no queue any more."""
    shown = subprocess.run(
        ["squeue", "-h", "-j", job], check=False, stdout=subprocess.PIPE, text=True
    )
    return not shown.stdout.strip()


def wait_for_end(job: str) -> None:
    """Wait for a job that was cancelled to have left its hosts, but not for ever."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and not has_ended(job):
        time.sleep(0.5)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--hosts", type=int, nargs="+", default=[2, 4, 6])
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--folder", type=Path, help="on a file system that all hosts share")
    made.add_argument("options", nargs="*", help="further options of sbatch, after --")
    return made


def main() -> None:
    """Measure in turns, and print a table."""
    given = parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="startup-", dir=given.folder or Path.cwd()))
    commands = scripts(folder)
    figures: dict[tuple[str, int], list[float | str]] = {}
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


def text(values: list[float | str]) -> str:
    """Write figures as median and range, and what else there was, each with how often."""
    there = [value for value in values if isinstance(value, float)]
    parts = []
    if there:
        spread = f" ({min(there):.1f}–{max(there):.1f})" if len(there) > 1 else ""
        parts.append(f"{statistics.median(there):.1f} s{spread}")
    reasons = Counter(value for value in values if isinstance(value, str))
    parts += [f"{count} × {reason}" for reason, count in reasons.items()]
    return ", ".join(parts)


if __name__ == "__main__":
    main()
