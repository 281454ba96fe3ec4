"""Trials as a plain Tune function: ``python plain_tune.py FOLDER TRIALS [--many] [--reuse]``.

What ``overhead.py`` compares trials with: one at a time, or with --many as many as fit; in a fresh
worker each, Tune's default, or with --reuse in workers that are used again.
"""

import sys

from ray import tune

from raybench.launch.session import connected


def train(_config: dict[str, int]) -> None:
    """Import torch, train one step, and report it."""
    import torch
    from start_model import build, note

    model = build(num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss = model(torch.rand(10, 3, 16, 16)).square().mean()
    loss.backward()
    optimizer.step()
    tune.report({"loss": loss.item()})
    note("end")


def main() -> None:
    """Run the trials."""
    folder, trials, options = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    with connected(None):
        tune.Tuner(
            tune.with_resources(train, {"cpu": 1}),
            param_space={"repeat": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(
                reuse_actors="--reuse" in options,
                max_concurrent_trials=None if "--many" in options else 1,
            ),
            run_config=tune.RunConfig(name="plain", storage_path=folder, verbose=0),
        ).fit()


if __name__ == "__main__":
    main()
