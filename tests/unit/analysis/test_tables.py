"""Tables pool only repeats, divide only like by like, and hide no failure."""

from __future__ import annotations

import math

import pytest
from records import make_failed, make_grid, make_record, make_tuned

from raybench.analysis.configurations import Key, configurations
from raybench.analysis.frame import from_records
from raybench.analysis.published import load_published
from raybench.analysis.quantities import QUANTITIES, Options
from raybench.analysis.tables import Section, make_tables
from raybench.analysis.trials import Trials
from raybench.catalog.hardware import Hardware
from raybench.errors import SpecError
from raybench.report.labels import cell_text
from raybench.report.notes import of_table, sentence
from raybench.report.tables import Tables

K80, P100, A100 = map(Hardware, ("K80", "P100", "A100"))

PUBLISHED_SPEEDUPS = {
    ("googlenet", "cifar10"): 2.7811,
    ("googlenet", "mnist"): 2.8301,
    ("googlenet", "kmnist"): 2.8246,
    ("resnet18", "cifar10"): 2.6290,
    ("resnet18", "mnist"): 2.8175,
    ("resnet18", "kmnist"): 2.8684,
}


class Found:
    """A table with its section."""

    def __init__(self, table, section):
        self.table, self.section = table, section

    def __getattr__(self, name):
        return getattr(self.table, name)

    @property
    def said(self):
        return [*of_table(self.table), *map(sentence, self.section.notes)]

    @property
    def shown(self):
        notes = self.section.notes
        return str(Tables([Section(configuration="", tables=(self.table,), notes=notes)]))


def made(frame, names, options=None):
    sections = make_tables(frame, names, options)
    return [Found(table, section) for section in sections for table in section.tables]


def table(records, name="speedup", **options):
    frame = records if isinstance(records, Trials) else from_records(records)
    (found,) = made(frame, [name], Options(**options))
    return found


def notes(found):
    return "\n".join(found.said)


def pair(**changes):
    """Two repeats on a P100, and two on a K80 with changes."""
    return [
        *(make_record(hardware="P100", repeat=repeat) for repeat in range(2)),
        *(make_record(hardware="K80", repeat=repeat, changes=changes) for repeat in range(2)),
    ]


def test_the_published_speedups_and_their_geometric_mean():
    found = table(load_published("li2022").trials)
    assert found.baseline == K80
    assert found.models == ("googlenet", "resnet18")
    assert found.columns == ((P100, "cifar10"), (P100, "mnist"), (P100, "kmnist"))
    for (model, dataset), speedup in PUBLISHED_SPEEDUPS.items():
        cell = found.cells[Key(model, dataset, P100)]
        assert round(cell.value, 4) == speedup
        assert (cell.low, cell.verdict, cell.n) == (None, None, 1)
    assert round(found.means[P100].value, 4) == 2.7907


def test_improvement_is_speedup_less_one():
    records = make_grid(3)
    speedup, improvement = made(from_records(records), ["speedup", "improvement"])
    for key, cell in speedup.cells.items():
        less = improvement.cells[key]
        assert less.value == pytest.approx(cell.value - 1)
        assert less.low == pytest.approx(cell.low - 1)
        assert less.verdict == cell.verdict
    assert "≈: not distinguishable from 1 (5 %, Holm's correction for 4 cells)" in notes(speedup)
    assert "≈: not distinguishable from 0 (5 %, Holm's correction for 4 cells)" in notes(
        improvement
    )
    assert "divided by that on the column's hardware, less 1" in notes(improvement)
    assert "geometric mean of the speedups on P100 over 4 cells, less 1: 1.4" in improvement.shown


def test_one_cell_has_no_correction_and_no_geometric_mean():
    records = [make_record(hardware=h, repeat=r) for h in ("P100", "K80") for r in range(2)]
    other = [make_failed(dataset="kmnist"), make_record(dataset="kmnist", hardware="K80")]
    shown = table([*records, *other]).shown
    assert "not distinguishable from 1 (5 %)" in shown
    assert "geometric mean" not in shown


def test_a_speedup_is_the_ratio_of_mean_times():
    records = make_grid(3)
    found = table(records)
    times = {"P100": [], "K80": []}
    for record in records:
        if (record.spec.model, record.spec.dataset) == ("resnet18", "mnist"):
            times[record.spec.hardware].append(record.running_time_s)
    cell = found.cells[Key("resnet18", "mnist", P100)]
    expected = (sum(times["K80"]) / 3) / (sum(times["P100"]) / 3)
    assert cell.value == pytest.approx(expected)
    assert cell.low < expected < cell.high
    assert (cell.n, cell.verdict) == (3, "faster")


def test_the_baseline_is_the_slowest_unless_named():
    assert table(make_grid(1)).baseline == K80
    assert table(make_grid(1), baseline=P100).baseline == P100
    assert "the slowest measured" in notes(table(make_grid(1)))
    with pytest.raises(SpecError, match="did you mean 'K80'"):
        table(make_grid(1), baseline=Hardware("K81"))


def test_one_hardware_alone_has_nothing_to_compare():
    found = table([make_record()])
    assert found.columns == ()
    assert "one hardware only" in found.shown


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("environment.torch", "2.15.0", "torch: 2.0.1+cu117 (P100), 2.15.0 (K80)"),
        ("environment.cudnn", "9.1.0", "cudnn: 8.5.0 (P100), 9.1.0 (K80)"),
        ("environment.raybench", "0.0.1", "raybench: 0.1.0 (P100), 0.0.1 (K80)"),
        ("dataset.fingerprint", "other", "dataset_fingerprint: mnist-1000-100 (P100), other (K80)"),
        ("dataset.origin", "garden 1.2", "dataset_origin: raybench (P100), garden 1.2 (K80)"),
        ("model.origin", "garden 1.2", "model_origin: raybench (P100), garden 1.2 (K80)"),
        ("hardware.verified", False, "verified: True (P100), False (K80)"),
        (
            "environment.flags",
            {"cudnn_benchmark": True, "allow_tf32": False},
            "flags.cudnn_benchmark: False (P100), True (K80)",
        ),
        (
            "environment.variables",
            {"NVIDIA_TF32_OVERRIDE": "1"},
            "variables.NVIDIA_TF32_OVERRIDE: unknown (P100), 1 (K80)",
        ),
    ],
)
def test_unlike_results_are_not_divided_without_leave(field, value, named):
    records = pair(**{field: value})
    refused = table(records)
    cell = refused.cells[Key("resnet18", "mnist", P100)]
    assert (cell.state, cell.value) == ("not comparable", None)
    assert named in notes(refused)
    option = named.partition(":")[0].partition(".")[0]
    assert f"--allow-mismatch {option}" in notes(refused)
    allowed = table(records, allow_mismatch=[option])
    assert allowed.cells[Key("resnet18", "mnist", P100)].state == "measured"
    assert f"{option} differs, as allowed" in notes(allowed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 64),
        ("precision", "fp16"),
        ("image_size", 64),
        ("num_workers", 1),
        ("input_pipeline", "device"),
        ("memory_format", "channels_last"),
        ("train_limit", None),
        ("warmup_steps", 50),
        ("isolation", "node"),
    ],
)
def test_every_field_of_the_spec_is_guarded(field, value):
    records = [make_record(hardware="A100"), make_record(hardware="P100", **{field: value})]
    found = table(records, baseline=P100)
    assert found.cells[Key("resnet18", "mnist", A100)].state == "not comparable"
    assert f"{field}: " in notes(found)


def test_whoever_does_not_verify_is_not_stopped_by_that_alone():
    records = [make_record(hardware="P100"), make_record(hardware="K80", verify_hardware=False)]
    assert table(records).cells[Key("resnet18", "mnist", P100)].state == "measured"


def test_an_unknown_field_to_allow_is_refused_with_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'torch'"):
        table(make_grid(1), allow_mismatch=["torhc"])


def test_the_pipelines_workers_are_alike_between_threads_but_not_between_cpu_and_gpu():
    threads = [make_record(hardware="cpu:1"), make_record(hardware="cpu:2")]
    assert table(threads).cells[Key("resnet18", "mnist", Hardware("cpu:2"))].state == "measured"
    found = table([make_record(hardware="cpu:1"), make_record(hardware="P100")])
    assert found.cells[Key("resnet18", "mnist", P100)].state == "not comparable"
    assert "num_workers: 2 (P100), 0 (cpu:1)" in notes(found)


def test_what_a_cpu_has_not_is_no_mismatch():
    missing = {"environment.cudnn": None, "environment.cuda": None}
    records = [
        make_record(hardware="cpu:1", changes=missing),
        make_record(hardware="P100", num_workers=0),
    ]
    assert table(records).cells[Key("resnet18", "mnist", P100)].state == "measured"


def test_processors_of_two_kinds_are_two_kinds_of_hardware():
    records = [
        make_record(hardware="cpu:1", repeat=0),
        make_record(hardware="cpu:1", repeat=1, changes={"environment.cpu": "AMD EPYC 7702"}),
        make_record(hardware="cpu:2"),
    ]
    (group,) = configurations(Trials.of(from_records(records)))
    assert set(map(str, group.hardware)) == {
        "cpu:1 (AMD EPYC 7702)",
        "cpu:1 (Intel Xeon E5-2680 v4)",
        "cpu:2",
    }
    found = table(records, baseline=Hardware("cpu:2"))
    refused = found.cells[Key("resnet18", "mnist", Hardware("cpu:1", device="AMD EPYC 7702"))]
    assert refused.state == "not comparable"
    assert (
        table(records, baseline=Hardware("cpu:2"), allow_mismatch=["device"])
        .means[Hardware("cpu:1")]
        .value
        > 0
    )


def test_records_of_different_identity_are_never_pooled():
    records = [make_record(batch_size=size) for size in (10, 50)]
    found = made(from_records(records), ["running-time"])
    assert [t.configuration for t in found] == ["batch_size 10", "batch_size 50"]
    for t, record in zip(found, records, strict=True):
        cell = t.cells[Key("resnet18", "mnist", P100)]
        assert (cell.value, cell.n) == (record.running_time_s, 1)


def test_no_limit_and_a_limit_are_two_configurations():
    records = [make_record(train_limit=limit) for limit in (None, 1000)]
    found = made(from_records(records), ["running-time"])
    assert len(found) == 2
    assert {t.configuration.partition(",")[0] for t in found} == {
        "train_limit 1000",
        "train_limit none",
    }


def test_a_failed_trial_belongs_to_every_configuration_that_it_does_not_contradict():
    records = [
        make_record(repeat=0),
        make_record(repeat=1, changes={"environment.torch": "2.15.0"}),
        make_failed(repeat=2),
    ]
    for t in made(from_records(records), ["running-time"]):
        assert "failed: 1 of 2 trials: ResNet-18 · MNIST · P100 (out_of_memory" in notes(t)


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_what_did_not_complete_is_shown_as_such_counted_and_named(status):
    records = [make_record(hardware="K80"), make_failed(hardware="P100", status=status)]
    times, speedups = made(from_records(records), ["running-time", "speedup"])
    key = Key("resnet18", "mnist", P100)
    assert times.cells[key].state == speedups.cells[key].state == status
    assert times.cells[key].value is None
    assert cell_text(times.quantity, times.cells[key]) == status
    reason = "ResNet-18 · MNIST · P100 (out_of_memory: CUDA out of memory)"
    assert f"{status}: 1 of 2 trials: {reason}" in notes(times)


def test_repeats_that_failed_alike_are_counted_together():
    records = [make_record(), *(make_failed(repeat=repeat) for repeat in (1, 2))]
    assert "failed: 2 of 3 trials: 2 × ResNet-18 · MNIST · P100 (out" in notes(table(records))


def test_cells_that_were_never_planned_are_no_failures():
    records = [make_record(dataset="mnist"), make_record(dataset="cifar10", hardware="K80")]
    found = table(records, baseline=K80)
    assert found.cells[Key("resnet18", "cifar10", P100)].state == "absent"
    assert "–: not part of the grid" in notes(found)
    assert "not part of" not in notes(table([make_record()], "running-time"))


def test_a_completed_record_without_a_plausible_time_counts_as_failed():
    records = [make_record(changes={"running_time_s": time}) for time in (0.0, -1.0, 1e300)]
    for record in records:
        found = table([record], "running-time")
        assert found.cells[Key("resnet18", "mnist", P100)].state == "failed"
        assert "without a plausible running time" in notes(found)


def test_each_table_says_where_it_was_measured_and_how_often():
    cpu = table([make_record(hardware="cpu:1")], "running-time")
    assert "cpu:1: measured on a CPU (Intel Xeon E5-2680 v4)" in notes(cpu)
    assert "n = 1 (a single run) in each cell" in notes(cpu)
    unverified = make_record(changes={"hardware.verified": False})
    assert "P100: label not verified (Tesla P100-PCIE-16GB)" in notes(
        table([unverified], "accuracy")
    )
    facts = {"hardware.verified": False, "hardware.compute_capability": None}
    simulated = make_record(changes={**facts, "hardware.detected": "Intel Xeon"})
    assert "P100: simulated, not a GPU's figure (Intel Xeon)" in notes(table([simulated]))
    uneven = table(make_grid(2)[:-1], "running-time")
    assert "n = 2 (2 independent repeats) in each cell, except ResNet-18 · MNIST · K80: 1" in notes(
        uneven
    )


def test_sides_that_ran_one_after_the_other_on_a_host_are_pointed_out():
    def measured(hours, hostnames=("c1", "c1")):
        return [
            make_record(
                hardware=hardware,
                repeat=repeat,
                changes={
                    "started_at": f"2026-01-01T{hour:02}:00:00Z",
                    "environment.hostname": hostname,
                },
            )
            for hardware, starts, hostname in zip(("K80", "P100"), hours, hostnames, strict=True)
            for repeat, hour in enumerate(starts)
        ]

    apart = measured([(1, 2), (3, 4)])
    assert "apart in time: ResNet-18 · MNIST · P100: all repeats" in notes(table(apart))
    for fine in (
        measured([(1, 3), (2, 4)]),
        measured([(1,), (3,)]),
        measured([(1, 2), (3, 4)], hostnames=("c1", "c2")),
    ):
        assert "apart in time" not in notes(table(fine))


def test_warnings_of_the_trials_reach_the_table():
    warning = [{"kind": "no_learning", "message": "accuracy is that of chance"}]
    found = table([make_record(changes={"warnings": warning})], "accuracy")
    assert "warning no_learning: 1 of 1 trial: ResNet-18 · MNIST · P100" in notes(found)


def test_derived_quantities():
    record = make_record("resnet18", "mnist", "P100")
    key = Key("resnet18", "mnist", P100)
    energy = record.device_telemetry.energy_j
    expected = {
        "images-per-s": record.images_per_s,
        "compute-only-images-per-s": record.compute_only_images_per_s,
        "energy-per-image": energy / 3000,
        "images-per-joule": 3000 / energy,
        "mfu": 0.2,
        "cost": record.running_time_s / 3600 * 1.5,
        "time-to-accuracy": sum(e.train_time_s + e.eval_time_s for e in record.epochs[:2]),
    }
    accuracies = [epoch.accuracy for epoch in record.epochs]
    assert accuracies[0] < 0.88 < accuracies[1]
    options = {"prices": {"P100": 1.5}, "target_accuracy": 0.88}
    for name, value in expected.items():
        assert table([record], name, **options).cells[key].value == pytest.approx(value)
    assert set(expected) | {"running-time", "accuracy", "speedup", "improvement"} == set(QUANTITIES)


def test_what_was_not_measured_says_so():
    record = make_record(hardware="cpu:1")
    found = table([record], "energy-per-image")
    assert found.cells[Key("resnet18", "mnist", Hardware("cpu:1"))].state == "unmeasured"
    assert "n/a: not measured in ResNet-18 · MNIST · cpu:1" in notes(found)
    never = table([record], "time-to-accuracy", target_accuracy=1.0)
    assert never.cells[Key("resnet18", "mnist", Hardware("cpu:1"))].state == "unmeasured"
    assert "n/a: not reached by every trial of ResNet-18 · MNIST · cpu:1" in notes(never)


def test_the_time_to_an_accuracy_is_not_that_of_the_lucky_trials_alone():
    lucky, other = make_record(repeat=0), make_record(repeat=1)
    epochs = [{**epoch, "accuracy": 0.1} for epoch in other.model_dump()["epochs"]]
    unlucky = make_record(repeat=1, changes={"epochs": epochs})
    found = table([lucky, unlucky], "time-to-accuracy", target_accuracy=0.5)
    assert found.cells[Key("resnet18", "mnist", P100)].state == "unmeasured"


def test_prices_hold_for_every_configuration_and_kind_of_device():
    sxm2 = {"hardware.detected": "Tesla P100-SXM2-16GB"}
    records = [
        make_record(batch_size=10),
        make_record(batch_size=10, repeat=1, changes=sxm2),
        make_record(batch_size=50, hardware="K80"),
        make_record(batch_size=50),
    ]
    options = Options(prices={"P100": 3.6})
    small, large = made(from_records(records), ["cost"], options)
    for cell in small.cells.values():
        assert cell.state == "measured"
    assert large.cells[Key("resnet18", "mnist", K80)].state == "unmeasured"
    assert "n/a: no price was given for ResNet-18 · MNIST · K80" in notes(large)
    assert "the running time, at 3.6 an hour on P100; setup and warm-up cost extra" in notes(small)


def test_tables_say_what_their_figures_mean():
    options = Options(prices={"P100": 1.0}, target_accuracy=0.5)
    explained = {"energy-per-image": "evaluation included", "mfu": "datasheet's peak"}
    for name in QUANTITIES:
        if name in ("running-time", "accuracy", "speedup", "improvement", "images-per-s"):
            continue
        (found,) = made(from_records([make_record()]), [name], options)
        assert len(found.said[0]) > 30
        assert explained.get(name, "") in found.said[0]


def test_a_table_that_lacks_its_option_or_its_name_is_refused():
    with pytest.raises(SpecError, match="needs prices"):
        table(make_grid(1), "cost")
    with pytest.raises(SpecError, match="needs a target"):
        table(make_grid(1), "time-to-accuracy")
    with pytest.raises(SpecError, match="A100, which has no results"):
        table(make_grid(1), "cost", prices={"A100": 1.0})
    with pytest.raises(SpecError, match="did you mean 'speedup'"):
        table(make_grid(1), "speedups")


def unstable(records):
    starts = ("unstable", "throttled", "co-located")
    return [note for note in table(records, "running-time").said if note.startswith(starts)]


def test_stable_repeats_have_no_such_note():
    assert unstable(make_grid(5)) == []


def test_unstable_samples_are_named_with_a_next_step():
    slow = [make_record(repeat=repeat, slowdown=1 + 0.2 * repeat) for repeat in range(3)]
    (spread,) = unstable(slow)
    assert "unstable repeats: ResNet-18 · MNIST · P100 (16%): standard deviation" in spread
    assert "isolation=node" in spread
    drifting = make_record()
    epochs = drifting.model_dump()["epochs"]
    for number, epoch in enumerate(epochs):
        epoch["train_time_s"] *= 1 + 0.1 * number
    (drift,) = unstable([make_record(changes={"epochs": epochs})])
    assert "unstable epochs: ResNet-18 · MNIST · P100 (19% slower): the last third" in drift
    (drift,) = unstable([make_record(changes={"epochs": epochs[::-1]})])
    assert "(16% faster)" in drift
    assert "Raise warmup_steps" in drift
    heaps = {"p05": 9.9, "p25": 10, "p50": 20, "p75": 20.5, "p95": 20.7, "count": 300}
    (kinds,) = unstable([make_record(changes={"step_ms": heaps})])
    assert "(10 and 20.5 ms): step times cluster at two values" in kinds
    throttle = {"device_telemetry.throttle_reasons": ["sw_thermal_slowdown"]}
    (throttled,) = unstable([make_record(changes=throttle)])
    assert "held down in 1 of 1 trial (sw_thermal_slowdown)" in throttled
    (beside,) = unstable([make_record(changes={"contention.co_located_trials": 3})])
    assert "up to 3 others ran on the host at once. To see what they cost, measure with" in beside
    (alone,) = unstable(
        [make_record(isolation="node", changes={"contention.co_located_trials": 1})]
    )
    assert "up to 1 other ran on the host" in alone
    assert "keep other programs off the host" in alone


@pytest.mark.parametrize("count", [2, 40])
def test_times_of_any_size_are_pooled(count):
    records = [
        make_record(repeat=repeat, changes={"running_time_s": 10.0 ** (repeat % 15 - 3)})
        for repeat in range(count)
    ]
    cell = table(records, "running-time").cells[Key("resnet18", "mnist", P100)]
    assert math.isfinite(cell.value)
    assert math.isfinite(cell.high)


def at_its_best(**options):
    """Three repeats on each of a P100 and an A100, with settings of their own."""
    return [
        record
        for repeat in range(3)
        for record in (
            make_tuned(hardware="P100", memory_format="channels_last", repeat=repeat, **options),
            make_tuned(
                hardware="A100", precision="tf32", slowdown=0.5, repeat=repeat,
                changes={"environment.flags.cudnn_allow_tf32": True}, **options,
            ),
        )
    ]  # fmt: skip


def test_like_for_like_and_each_at_its_best_are_never_mixed():
    alike = [make_record(hardware=h, repeat=r) for r in range(3) for h in ("P100", "A100")]
    best, plain = made(from_records([*alike, *at_its_best()]), ["speedup"], Options())
    key = Key("resnet18", "mnist", A100)
    assert (best.configuration, plain.configuration) == ("execution best", "execution eager")
    assert [found.cells[key].n for found in (plain, best)] == [3, 3]
    assert best.cells[key].value == pytest.approx(2 * plain.cells[key].value, rel=0.05)
    assert "each hardware at its best" in notes(best)
    assert "fp32, channels_last, eager, batch 10 (ResNet-18 · MNIST · P100)" in notes(best)
    assert "tf32, contiguous, eager, batch 10 (ResNet-18 · MNIST · A100)" in notes(best)
    assert "at its best" not in notes(plain)


def test_switches_that_follow_from_the_best_precision_are_no_mismatch():
    (found,) = made(from_records(at_its_best()), ["speedup"], Options())
    assert {cell.state for cell in found.cells.values()} == {"measured"}


def test_largest_batches_are_compared_as_such():
    records = [
        *(make_tuned(hardware=h, batch_size=b) for h, b in (("P100", 200), ("A100", 900))),
        *(make_tuned(hardware=h) for h in ("P100", "A100")),
    ]
    tables = made(from_records(records), ["speedup"], Options())
    assert [found.configuration for found in tables] == ["batch_size 10", "batch_size largest"]
    assert {cell.state for found in tables for cell in found.cells.values()} == {"measured"}
    assert "batch 900 (ResNet-18 · MNIST · A100)" in notes(tables[1])


def test_the_largest_batch_is_not_divided_by_another():
    records = [make_tuned(hardware="P100", batch_size=200), make_tuned(hardware="A100")]
    found = table(records)
    assert {cell.state for cell in found.cells.values()} == {"not comparable"}
    assert "batch_size: 10 (A100), largest (P100)" in notes(found)


def test_an_autotuned_record_without_what_was_chosen_is_damaged():
    record = make_tuned().model_copy(update={"autotune": None})
    frame = from_records([record])
    assert frame["status"].tolist() == ["failed"]
    assert "without the settings" in frame["reason"][0]
