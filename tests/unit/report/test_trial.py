from __future__ import annotations

from pathlib import Path

from records import make_failed, make_record

from raybench.report.trial import summary


def test_a_complete_trial_shows_its_figures_and_where_its_record_lies() -> None:
    record = make_record()
    text = summary(record, Path("results/unit.json"))
    rows = dict(line.split("  ", 1) for line in text.splitlines())
    assert rows["trial"].strip() == record.spec.title
    assert rows["status"].strip() == "completed"
    epochs = "1 epoch" if len(record.epochs) == 1 else f"{len(record.epochs)} epochs"
    assert rows["running time"].strip() == f"{record.running_time_s:.3f} s for {epochs}"
    assert rows["record"].strip() == "results/unit.json"


def test_a_failed_trial_says_why() -> None:
    record = make_failed()
    assert record.error is not None
    text = summary(record)
    assert record.error.message.splitlines()[0] in text
    assert "running time" not in text


def test_what_a_terminal_would_obey_is_shown() -> None:
    record = make_failed()
    assert record.error is not None
    error = record.error.model_copy(update={"message": "\x1b]0;mine\x07\nsecond line"})
    text = summary(record.model_copy(update={"error": error}))
    assert "\\x1b]0;mine\\x07\n" in text
    assert "\x1b" not in text
