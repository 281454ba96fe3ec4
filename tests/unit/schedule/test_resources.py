from __future__ import annotations

from typing import Any

import pytest

from raybench.errors import ClusterError
from raybench.schedule.resources import (
    NODE,
    NODE_SHARE,
    NodeWatch,
    check_placeable,
    resources_of,
    slots,
    trial_queues,
)
from raybench.spec.trial import TrialSpec, trial_spec


def trial(hardware: str, **fields: Any) -> TrialSpec:
    return trial_spec({"model": "resnet18", "dataset": "mnist", "hardware": hardware, **fields})


P100_HOST = {"CPU": 8.0, "GPU": 4.0, "P100": 4.0, NODE: 1.0, "node:10.0.0.1": 1.0}
K80_HOST = {"CPU": 8.0, "GPU": 8.0, "K80": 8.0, NODE: 1.0, "node:10.0.0.2": 1.0}


def test_a_gpu_trial_asks_for_its_type_and_for_its_processes() -> None:
    assert resources_of(trial("P100", num_workers=3)) == {
        "CPU": 4.0, "GPU": 1.0, "P100": 1.0, NODE: NODE_SHARE
    }  # fmt: skip


def test_a_cpu_trial_asks_for_its_threads() -> None:
    assert resources_of(trial("cpu:4")) == {"CPU": 4.0, NODE: NODE_SHARE}


def test_isolation_takes_the_whole_host() -> None:
    assert resources_of(trial("P100", isolation="node"))[NODE] == 1.0


def test_what_competes_for_a_device_asks_alike_and_keeps_its_order() -> None:
    trials = [
        trial("P100", num_workers=1), trial("K80"), trial("P100", num_workers=4),
        trial("cpu:1", isolation="node"), trial("cpu:4", isolation="node"),
        trial("cpu:1"), trial("cpu:4"),
    ]  # fmt: skip
    queues = {queue.trials: queue.resources for queue in trial_queues(trials)}
    assert queues == {
        (trials[0], trials[2]): {"CPU": 5.0, "GPU": 1.0, "P100": 1.0, NODE: NODE_SHARE},
        (trials[1],): {"CPU": 3.0, "GPU": 1.0, "K80": 1.0, NODE: NODE_SHARE},
        (trials[3], trials[4]): {"CPU": 4.0, NODE: 1.0},
        (trials[5],): {"CPU": 1.0, NODE: NODE_SHARE},
        (trials[6],): {"CPU": 4.0, NODE: NODE_SHARE},
    }


def test_slots_are_counted_host_by_host() -> None:
    asked = resources_of(trial("P100", num_workers=2))
    assert slots(asked, [P100_HOST, {**P100_HOST, "CPU": 32.0}]) == 2 + 4
    assert slots(resources_of(trial("P100", isolation="node")), [P100_HOST, P100_HOST]) == 2
    assert slots(asked, []) == 0


def test_what_fits_is_accepted() -> None:
    check_placeable([trial("P100"), trial("cpu:8")], [P100_HOST], "the cluster")


def test_what_no_host_has_is_refused_with_what_there_is() -> None:
    with pytest.raises(ClusterError) as caught:
        check_placeable([trial("P100"), trial("K80"), trial("K80")], [P100_HOST], "the cluster")
    message = str(caught.value)
    assert "2 trials need CPU 3, GPU 1, K80 1" in message
    assert "1 node with CPU 8, GPU 4, P100 4" in message
    assert "node:" not in message


def test_all_that_a_trial_needs_has_to_be_on_one_host() -> None:
    nodes = [{"CPU": 64.0, NODE: 1.0}, {**P100_HOST, "CPU": 2.0}]
    with pytest.raises(ClusterError, match="CPU 3, GPU 1, P100 1"):
        check_placeable([trial("P100")], nodes, "the cluster")


def test_a_cluster_without_nodes_is_refused() -> None:
    with pytest.raises(ClusterError, match="it has no node"):
        check_placeable([trial("cpu:1")], [], "the cluster")


PLAN = [trial(hardware, repeat=repeat) for repeat in range(3) for hardware in ("P100", "K80")]
K80_ENDED = {plan.trial_id for plan in PLAN if plan.hardware == "K80"}


def test_a_grid_is_stopped_when_only_nodes_that_are_gone_could_go_on() -> None:
    watch = NodeWatch(PLAN, 60)
    assert watch.look(set(), [P100_HOST, K80_HOST], 0) is None
    assert watch.look(set(), [K80_HOST], 100) is None  # the K80's trials are not done yet
    assert watch.look(K80_ENDED, [K80_HOST], 200) is None
    assert watch.look(K80_ENDED, [K80_HOST], 259) is None
    message = watch.look({*K80_ENDED, PLAN[0].trial_id}, [K80_HOST], 260)
    assert message is not None
    assert "for 60 s" in message
    assert "2 trials need CPU 3, GPU 1, P100 1 on one node" in message
    assert "1 node with CPU 8, GPU 8, K80 8" in message


def test_a_host_that_joins_in_time_lets_the_grid_go_on() -> None:
    watch = NodeWatch(PLAN, 60)
    assert watch.look(K80_ENDED, [K80_HOST], 0) is None
    assert watch.look(K80_ENDED, [K80_HOST, P100_HOST], 59) is None
    assert watch.look(K80_ENDED, [K80_HOST], 60) is None  # gone again: a new start
    assert watch.look(K80_ENDED, [K80_HOST], 119) is None
    assert watch.look(K80_ENDED, [], 120) is not None


def test_a_grid_whose_trials_have_all_ended_waits_for_no_host() -> None:
    watch = NodeWatch(PLAN, 60)
    everything = {plan.trial_id for plan in PLAN}
    assert watch.look(everything, [], 0) is None
    assert watch.look(everything, [], 1000) is None
