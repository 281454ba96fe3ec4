from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raybench.schedule.estimate import Estimates
from raybench.schedule.order import RunningOrder
from raybench.schedule.resources import NODE
from raybench.spec.grid import grid_spec
from raybench.spec.trial import TrialSpec

MODELS = ["resnet18", "googlenet", "resnet50"]  # resnet50 has the most FLOPs, googlenet the fewest


def node(**resources: float) -> dict[str, float]:
    return {"CPU": 64.0, NODE: 1.0, "GPU": sum(resources.values()), **resources}


def plan(**fields: Any) -> list[TrialSpec]:
    return grid_spec({"model": MODELS, "dataset": "mnist", **fields}).plan()


def run(order: RunningOrder, nodes: list[dict[str, float]]) -> list[TrialSpec]:
    """Start each trial as soon as it is handed out."""
    started = []
    while (chosen := order.next(nodes)) is not None:
        started.append(chosen.trial)
        order.note_started([chosen.trial.trial_id])
    return started


def names(trials: list[TrialSpec]) -> list[tuple[int, str, str]]:
    return [(trial.repeat, trial.model, trial.hardware) for trial in trials]


def test_one_device_keeps_the_plans_order() -> None:
    trials = plan(hardware="P100", repeats=2)
    assert run(RunningOrder(trials, Estimates()), [node(P100=1)]) == trials


def test_several_devices_take_the_longest_of_a_pass_first() -> None:
    trials = plan(hardware="P100", repeats=2)
    order = RunningOrder(trials, Estimates())
    assert names(run(order, [node(P100=2)])) == [
        (repeat, model, "P100") for repeat in (0, 1) for model in ("resnet50", *MODELS[:2])
    ]


def test_what_is_learnt_changes_the_order_of_the_rest() -> None:
    trials = plan(hardware="P100", repeats=2)
    order = RunningOrder(trials, Estimates())
    nodes = [node(P100=2)]
    first = order.next(nodes)
    assert first is not None
    assert first.trial.model == "resnet50"
    order.note_started([first.trial.trial_id])
    by_model = {trial.model: trial for trial in trials}
    order.note_running_time(by_model["resnet50"], 10.0)
    order.note_running_time(by_model["googlenet"], 500.0)
    order.note_running_time(by_model["resnet18"], 100.0)
    rest = [(trial.repeat, trial.model) for trial in run(order, nodes)]
    assert rest == [
        (0, "googlenet"), (0, "resnet18"), (1, "googlenet"), (1, "resnet18"), (1, "resnet50")
    ]  # fmt: skip


def test_both_sides_of_a_speedup_stay_side_by_side() -> None:
    trials = plan(hardware=["cpu:2", "cpu:1"], isolation="node", repeats=2)
    order = RunningOrder(trials, Estimates())
    order.note_running_time(trials[1], 1000.0)  # cpu:1 is slow
    started = names(run(order, [node(), node()]))
    pairs = list(zip(started[::2], started[1::2], strict=True))
    assert all(one[:2] == other[:2] for one, other in pairs)
    assert all((one[2], other[2]) == ("cpu:2", "cpu:1") for one, other in pairs)


def test_no_more_are_pending_than_can_start() -> None:
    trials = plan(hardware=["P100", "K80"], repeats=3)
    order = RunningOrder(trials, Estimates())
    nodes = [node(P100=2), node(K80=1)]
    handed = [chosen.trial for _ in range(9) if (chosen := order.next(nodes)) is not None]
    assert sorted(trial.hardware for trial in handed) == ["K80", "P100", "P100"]
    assert order.left == len(trials) - 3
    order.note_started([handed[0].trial_id])
    again = order.next(nodes)
    assert again is not None
    assert again.trial.hardware == handed[0].hardware
    assert order.next(nodes) is None


def test_hardware_that_is_gone_holds_up_no_other() -> None:
    trials = plan(hardware=["P100", "K80"])
    order = RunningOrder(trials, Estimates())
    started = run(order, [node(K80=1)])
    assert {trial.hardware for trial in started} == {"P100", "K80"}
    assert len(started) == len(trials)


@given(
    st.lists(st.sampled_from(["P100", "K80", "cpu:1", "cpu:2"]), min_size=1, max_size=4),
    st.integers(1, 3),
    st.lists(st.dictionaries(st.sampled_from(["P100", "K80"]), st.integers(1, 4)), max_size=3),
    st.sampled_from(["gpu", "node"]),
    st.lists(st.floats(0.1, 1e6), max_size=6),
)
def test_every_trial_is_handed_out_once_pass_by_pass(
    hardware: list[str],
    repeats: int,
    nodes: list[dict[str, int]],
    isolation: str,
    times_s: list[float],
) -> None:
    trials = plan(hardware=hardware, repeats=repeats, isolation=isolation)
    order = RunningOrder(trials, Estimates())
    for trial, time_s in zip(trials, times_s, strict=False):
        order.note_running_time(trial, time_s)
    started = run(order, [node(**{name: float(n) for name, n in each.items()}) for each in nodes])
    assert sorted(t.trial_id for t in started) == sorted(t.trial_id for t in trials)
    for label in set(hardware):
        passes = [trial.repeat for trial in started if trial.hardware == label]
        assert passes == sorted(passes)
