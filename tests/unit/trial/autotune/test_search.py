"""What a spec leaves open is decided by trying, and everything tried is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.errors import TrialFailed
from raybench.record.autotune import Autotune, StepSettings
from raybench.record.state import Event, PhaseStarted
from raybench.record.store import Experiment
from raybench.settings import Workspace, workspace
from raybench.spec.trial import TrialSpec, trial_spec
from raybench.trial.autotune import search
from raybench.trial.autotune.attempt import FITS, OUT_OF_MEMORY, StepMeasurement
from raybench.trial.autotune.search import autotune, largest, resolve
from raybench.trial.process.forkserver import ProcessDiedError, call
from raybench.trial.run import ignore

SMALL: dict[str, Any] = {
    "model": "small_models:small", "dataset": "digits", "hardware": "cpu:1", "epochs": 1,
    "image_size": 16, "execution": "best",
}  # fmt: skip
Answer = Callable[[TrialSpec], Any]


def spec(**fields: Any) -> TrialSpec:
    return trial_spec({**SMALL, **fields})


def found_for(wanted: TrialSpec, listen: Callable[[Event], None] = ignore) -> Autotune:
    return resolve(wanted, workspace(), listen)


def autotuned(wanted: TrialSpec, experiment: Experiment, **options: bool) -> Autotune:
    found = autotune(wanted, experiment, workspace(), ignore, **options)
    assert found is not None
    return found


def result(images_per_s: float, first_loss: float = 2.3, loss_fall: float = 0.5) -> Any:
    return StepMeasurement(images_per_s=images_per_s, first_loss=first_loss, loss_fall=loss_fall)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[TrialSpec]]:
    """Let attempts be answered by functions of the spec instead of by a process.

    The first one answers for settings, the second one for batches.
    """

    def use(answer: Answer, of_batch: Answer | None = None) -> list[TrialSpec]:
        asked: list[TrialSpec] = []

        def answered(attempt: Any, wanted: TrialSpec, _workspace: Workspace, **_limit: Any) -> Any:
            asked.append(wanted)
            chosen = of_batch if of_batch and attempt is search.try_batch else answer
            found = chosen(wanted)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(search, "call", answered)
        return asked

    return use


def outcomes(found: Autotune) -> dict[str, str]:
    return {candidate.settings.title: candidate.outcome for candidate in found.candidates}


# -- the fastest execution -----------------------------------------------------------------------


def test_every_combination_of_the_hardware_is_tried(answers: Any) -> None:
    asked = answers(lambda _spec: result(100.0))
    found_for(spec(model="resnet18", hardware="H100"))
    plain = [s for s in asked if not s.fused_optimizer and not s.cudnn_benchmark]
    tried = {(s.execution, s.precision, s.memory_format) for s in plain}
    graphs = [way for way in tried if way[0] == "cudagraph"]
    assert len([way for way in tried if way[0] == "eager"]) == 4 * 2
    assert len(graphs) == 3 * 2  # fp16's loss scaling cannot be captured
    assert [s.execution for s in asked[-3:]] == ["eager", "eager", "compile"]
    assert [s.cudnn_benchmark for s in asked[-3:]] == [True, False, False]
    assert [s.fused_optimizer for s in asked[-3:]] == [False, True, False]
    assert len(asked) == len(set(asked))


def test_what_the_hardware_lacks_is_not_tried(answers: Any) -> None:
    asked = answers(lambda _spec: result(100.0))
    found_for(spec(model="resnet18", hardware="P100"))
    assert {s.precision for s in asked} == {"fp32", "fp16"}
    assert "compile" not in {s.execution for s in asked}


def test_the_fastest_whose_losses_agree_is_chosen(answers: Any) -> None:
    def answer(wanted: TrialSpec) -> Any:
        if wanted.precision == "bf16":
            return result(900.0, loss_fall=0.0)  # the fastest, and it does not train
        if wanted.execution == "compile":
            return ProcessDiedError("was killed by SIGSEGV")
        return result(200.0 if wanted.memory_format == "channels_last" else 100.0)

    answers(answer)
    found = found_for(spec())
    assert found.chosen == StepSettings(
        precision="fp32", memory_format="channels_last", execution="eager",
        fused_optimizer=False, cudnn_benchmark=False, batch_size=10,
    )  # fmt: skip
    assert outcomes(found) == {
        "fp32, contiguous, eager, batch 10": "slower",
        "fp32, channels_last, eager, batch 10": "chosen",
        "bf16, contiguous, eager, batch 10": "losses differ",
        "bf16, channels_last, eager, batch 10": "losses differ",
        "fp32, channels_last, eager, fused optimizer, batch 10": "slower",
        "fp32, channels_last, compile, batch 10": "failed: its process was killed by SIGSEGV",
    }
    assert found.reason == (
        "200.0 images/s, the fastest of 3 whose losses agree; "
        "fp32, contiguous, eager, batch 10: 100.0"
    )


@pytest.mark.parametrize(
    ("precision", "first_loss", "loss_fall", "agrees"),
    [
        ("fp32", 2.3, 0.5, True),
        ("fp32", 2.3 * 1.0009, 0.5, True),
        ("fp32", 2.3 * 1.002, 0.5, False),
        ("bf16", 2.3 * 1.002, 0.5, True),
        ("bf16", 2.3 * 0.98, 0.5, False),
        ("bf16", 2.3, 0.3, True),
        ("bf16", 2.3, 0.2, False),
        ("bf16", 2.3, 0.8, False),
        ("bf16", 2.3, -0.5, False),
        ("bf16", float("nan"), 0.5, False),
        ("bf16", 2.3, float("nan"), False),
        ("bf16", float("inf"), float("inf"), False),
    ],
)
def test_losses_agree_within_rounding(
    precision: str, first_loss: float, loss_fall: float, agrees: bool
) -> None:
    plain = result(100.0)
    assert result(1.0, first_loss, loss_fall).agrees_with(plain, precision) is agrees


def test_where_the_plain_way_does_not_train_nothing_agrees(answers: Any) -> None:
    answers(lambda s: result(100.0, loss_fall=0.0) if _is_plain(s) else result(200.0))
    assert found_for(spec()).chosen.title == "fp32, contiguous, eager, batch 10"


def _is_plain(wanted: TrialSpec) -> bool:
    ways = (wanted.precision, wanted.memory_format, wanted.execution, wanted.fused_optimizer)
    return ways == ("fp32", "contiguous", "eager", False)


def test_losses_that_are_no_numbers_are_null(answers: Any) -> None:
    answers(lambda s: result(1.0, *([float("nan")] * 2 if s.precision == "bf16" else [])))
    found = found_for(spec())
    wrong = [a for a in found.candidates if a.settings.precision == "bf16"]
    assert {(a.first_loss, a.loss_fall, a.outcome) for a in wrong} == {
        (None, None, "losses differ")
    }


def test_a_plain_way_that_fails_fails_the_trial(answers: Any) -> None:
    answers(lambda _spec: TrialFailed("out_of_memory", "out of memory"))
    with pytest.raises(TrialFailed, match=r"plain way .* failed: out of memory"):
        found_for(spec())


# -- the largest batch ---------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(0, 6000), st.integers(0, 5000))
def test_the_largest_is_found_within_a_32nd(most: int, limit: int, known: int) -> None:
    asked: list[int] = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= limit

    known = min(known, most, limit)
    found = largest(fits, most, known)
    best = min(limit, most)
    assert found <= best
    assert best - found < max(1, best / 32)
    assert all(0 < number <= most for number in asked)
    assert len(asked) == len(set(asked))
    assert len(asked) <= 2 * most.bit_length() + 2


def test_the_largest_batch_is_sought_again_with_what_was_chosen(answers: Any) -> None:
    tuned_with: set[Any] = set()

    def of_settings(wanted: TrialSpec) -> Any:
        tuned_with.add(wanted.batch_size)
        return result(1000.0 if wanted.precision == "bf16" else 500.0)

    def of_batch(wanted: TrialSpec) -> Any:
        return (
            None
            if wanted.batch_size <= (120 if wanted.precision == "bf16" else 60)
            else (OUT_OF_MEMORY)
        )

    answers(of_settings, of_batch)
    found = found_for(spec(batch_size="largest"))
    assert tuned_with == {60}
    assert found.chosen.precision == "bf16"
    assert 116 < found.chosen.batch_size <= 120
    assert {FITS, OUT_OF_MEMORY, "chosen"} <= {attempt.outcome for attempt in found.candidates}
    assert "the fastest of" in found.reason
    assert found.reason.endswith("the largest that fits, within 3 %")


def test_a_batch_that_fits_no_more_with_what_was_chosen_is_given_up(answers: Any) -> None:
    def of_settings(wanted: TrialSpec) -> Any:
        return result(1000.0 if wanted.precision == "bf16" else 500.0)

    def of_batch(wanted: TrialSpec) -> Any:
        limit = 40 if wanted.precision == "bf16" else 60
        return None if wanted.batch_size <= limit else OUT_OF_MEMORY

    answers(of_settings, of_batch)
    found = found_for(spec(batch_size="largest"))
    assert (found.chosen.precision, found.chosen.batch_size) == ("bf16", 40)


def test_all_images_in_one_batch_is_the_end(answers: Any) -> None:
    asked = answers(lambda _spec: None)
    wanted = spec(execution="eager", batch_size="largest", train_limit=50)
    found = found_for(wanted)
    assert found.chosen.batch_size == 50
    assert found.reason == "batch 50: all training images fit in one"
    assert [s.batch_size for s in asked] == [1, 2, 4, 8, 16, 32, 50]


def test_a_probe_that_the_kernel_kills_does_not_fit(answers: Any) -> None:
    killed = ProcessDiedError("was killed by SIGKILL")
    answers(lambda wanted: killed if wanted.batch_size > 4 else None)
    assert found_for(spec(execution="eager", batch_size="largest")).chosen.batch_size == 4


def test_memory_for_not_even_one_image_fails_the_trial(answers: Any) -> None:
    answers(lambda _spec: OUT_OF_MEMORY)
    with pytest.raises(TrialFailed, match="not even one image"):
        found_for(spec(execution="eager", batch_size="largest"))


# -- once for all repeats ------------------------------------------------------------------------


def test_repeats_use_what_the_first_has_found(answers: Any, tmp_path: Path) -> None:
    asked = answers(lambda _spec: result(100.0))
    folder = Experiment(tmp_path / "unit")
    first = autotuned(spec(), folder)
    count = len(asked)
    assert count > 1
    assert autotuned(spec(repeat=1, seed=7), folder) == first
    assert len(asked) == count
    autotuned(spec(learning_rate=0.5), folder)
    assert len(asked) == 2 * count
    autotuned(spec(), folder, again=True)
    assert len(asked) == 3 * count


def test_a_damaged_file_is_made_anew(answers: Any, tmp_path: Path) -> None:
    answers(lambda _spec: result(100.0))
    folder = Experiment(tmp_path / "unit")
    first = autotuned(spec(), folder)
    (path,) = (folder.folder / "autotune").iterdir()
    path.write_text(path.read_text()[:100])
    again = autotuned(spec(), folder)
    assert again.chosen == first.chosen
    assert Autotune.model_validate_json(path.read_bytes()) == again


def test_of_two_at_once_the_first_counts(answers: Any, tmp_path: Path) -> None:
    folder = Experiment(tmp_path / "unit")
    inner: list[Autotune] = []

    def answer(_spec: TrialSpec) -> Any:
        if not inner:
            inner.append(Autotune.model_construct())
            inner[0] = autotuned(spec(), folder)
        return result(100.0)

    answers(answer)
    outer = autotuned(spec(repeat=1), folder)
    assert outer == inner[0]


# -- in processes of their own -------------------------------------------------------------------


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the compiler out, which takes a minute."""

    def run(attempt: Any, wanted: TrialSpec, folders: Workspace, **limit: Any) -> Any:
        if wanted.execution == "compile":
            raise ProcessDiedError("was left out")
        return call(attempt, wanted, folders, **limit)

    monkeypatch.setattr(search, "call", run)


@pytest.mark.usefixtures("uncompiled")
def test_an_autotune_on_this_machine() -> None:
    told: list[Event] = []
    found = found_for(spec(), told.append)
    assert told == [PhaseStarted(f"autotune: {c.settings.title}") for c in found.candidates]
    ran = [c for c in found.candidates if c.images_per_s is not None]
    left_out = [a.settings for a in found.candidates if a.outcome.startswith("failed: its process")]
    assert [settings.execution for settings in left_out] == ["compile"]
    # A torch without a fused SGD for CPUs says so.
    without = [a for a in found.candidates if "has no fused sgd" in a.outcome]
    assert len(ran) + len(without) == 5
    assert {attempt.outcome for attempt in ran} == {"chosen", "slower"}
    assert found.chosen == max(ran, key=lambda a: a.images_per_s or 0).settings
    assert all(a.first_loss and a.loss_fall and a.loss_fall > 0 for a in ran)


@pytest.mark.usefixtures("uncompiled")
def test_a_precision_that_computes_something_else_is_not_chosen() -> None:
    found = found_for(spec(model="small_models:wrong_in_reduced_precision"))
    assert found.chosen.precision == "fp32"
    bf16 = [a for a in found.candidates if a.settings.precision == "bf16"]
    assert {attempt.outcome for attempt in bf16} == {"losses differ"}


def test_a_model_that_kills_its_process() -> None:
    with pytest.raises(TrialFailed, match="its process was killed by SIGKILL"):
        found_for(spec(model="small_models:killed"))


def test_a_batch_that_the_hosts_memory_does_not_hold() -> None:
    found = found_for(spec(model="small_models:hungry", execution="eager", batch_size="largest"))
    assert 1 <= found.chosen.batch_size < 1437
    fitting = [a.settings.batch_size for a in found.candidates if a.outcome == FITS]
    assert found.chosen.batch_size == max(fitting)
    assert OUT_OF_MEMORY in outcomes(found).values()
