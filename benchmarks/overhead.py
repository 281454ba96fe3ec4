"""What raybench costs and gains, against the plain way of doing the same.

    python benchmarks/overhead.py [--only NAME]... [--quick] [--json] [--hardware cpu:1]
                                   [--timm PATH]

The two sides of a benchmark run in turns, in one run on one machine, so that its noise falls on
both; what is shown is the median over the pairs, with their quartiles. It reports and does not
judge: the exit code is 0 whatever the figures are. The targets are those for two processor cores
without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import overhead_commands as commands
import overhead_grids
import overhead_timm
import overhead_training as training
from overhead_results import Benchmark, Result, itself, render, times_faster
from overhead_turns import effort_of

from raybench.errors import RaybenchError, nearest

MODELS = ("resnet18", "googlenet")

BENCHMARKS = (
    *(
        Benchmark(
            name=f"epoch-{model}",
            against="the same steps in a bare PyTorch loop",
            run=partial(training.epoch, model),
            target=1.01,
            better="lower",
        )
        for model in MODELS
    ),
    Benchmark(
        name="timm-resnet18",
        against="timm's benchmark.py, train",
        run=partial(overhead_timm.train, "resnet18"),
        target=1.0,
        needs="timm",
    ),
    Benchmark(
        name="trial-start",
        run=commands.trial_start,
        value=itself,
        unit="s",
        target=1.0,
        better="lower",
    ),
    Benchmark(
        name="trial-start-gain",
        against="a plain Tune function, a fresh worker a trial",
        run=commands.trial_start,
        value=times_faster,
        target=5.0,
    ),
    *(
        Benchmark(
            name=f"input-{name}",
            against="the dataloader pipeline, one thread",
            run=partial(training.input_rate, shape),
            target=5.0,
        )
        for name, shape in (("mnist", (28, 28)), ("cifar10", (32, 32, 3)))
    ),
    *(
        Benchmark(
            name=f"end-to-end-{model}",
            against="the same steps on one resident batch",
            run=partial(training.end_to_end, model),
            target=0.98,
        )
        for model in MODELS
    ),
    *(
        Benchmark(
            name=f"best-{model}",
            against="fp32, contiguous, eager",
            run=partial(training.best, model),
            target=target,
        )
        for model, target in zip(MODELS, (1.9, 2.4), strict=True)
    ),
    Benchmark(
        name="grid-12",
        against="the trials' running times over the devices",
        run=overhead_grids.twelve_trials,
        target=1.08,
        better="lower",
    ),
    *(
        Benchmark(
            name=name,
            against=against,
            run=partial(overhead_grids.many_trials, reuse=reuse),
            target=1.0,
        )
        for name, against, reuse in (
            ("trials-2000", "plain Tune, a fresh worker a trial", False),
            ("trials-2000-reused", "plain Tune, its workers used again", True),
        )
    ),
    *(
        Benchmark(name=name, run=run, value=itself, unit="s", target=target, better="lower")
        for name, run, target in (
            ("help", commands.help_s, 0.4),
            ("plan", commands.plan_s, 1.0),
            ("analyze", commands.analyze_s, 1.5),
        )
    ),
)


def chosen(only: Sequence[str], benchmarks: Sequence[Benchmark]) -> list[Benchmark]:
    """Return the benchmarks of these names, or of names that begin so; all, if none is given.

    Raises:
        ValueError: naming what there is.
    """
    names = [benchmark.name for benchmark in benchmarks]
    for name in only:
        if not any(_means(name, known) for known in names):
            hint = nearest(name, names)
            raise ValueError(f"no benchmark {name!r}. {hint}\nallowed: {', '.join(names)}")
    return [b for b in benchmarks if not only or any(_means(name, b.name) for name in only)]


def _means(given: str, name: str) -> bool:
    return name == given or name.startswith(f"{given}-")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog="It reports and does not judge."
    )
    made.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a benchmark, or the beginning of several's names; repeatable",
    )
    made.add_argument("--quick", action="store_true", help="a few pairs, to see that it works")
    made.add_argument("--json", action="store_true", help="print JSON for a program")
    made.add_argument("--list", action="store_true", help="print the names and targets only")
    made.add_argument("--hardware", help="cpu:N or a GPU's label; default: this machine")
    made.add_argument("--timm", type=Path, metavar="PATH", help="a checkout of timm's repository")
    return made


def main(
    arguments: Sequence[str] | None = None, benchmarks: Sequence[Benchmark] = BENCHMARKS
) -> None:
    """Measure what was chosen, and print it."""
    given = parser().parse_args(arguments)
    try:
        selected = chosen(given.only, benchmarks)
        effort = effort_of(given.hardware, quick=given.quick, timm=given.timm)
    except (ValueError, RaybenchError) as error:
        parser().error(str(error))
    if given.list:
        for of in selected:
            print(f"{of.name:30}{of.against}".rstrip())
        return
    results = []
    for benchmark in selected:
        if benchmark.needs and getattr(effort, benchmark.needs) is None:
            results.append(Result(benchmark=benchmark, pairs=[]))
            continue
        started = time.perf_counter()
        results.append(Result(benchmark=benchmark, pairs=benchmark.run(effort)))
        print(f"{benchmark.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if given.json:
        print(json.dumps([r.document() for r in results], indent=1, ensure_ascii=False))
    else:
        load = os.getloadavg()[0]
        print(f"\n{render(results)}\n\non {effort.hardware}, load average {load:.1f} at the end")


if __name__ == "__main__":
    main()
