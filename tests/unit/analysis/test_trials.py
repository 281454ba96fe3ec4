"""Trials are columns of lists, of records or of a frame."""

from __future__ import annotations

import math

from records import make_failed, make_grid, make_record, write_records

from raybench.analysis.columns import COLUMNS
from raybench.analysis.configurations import known
from raybench.analysis.frame import from_records, to_frame
from raybench.analysis.notes import Attempts
from raybench.analysis.tables import make_tables
from raybench.analysis.trials import BLOCK, Trials, load, tidy
from raybench.record.store import Experiment
from raybench.report.notes import sentence


def rows(trials):
    """Each row, with None for NaN, which equals nothing."""
    columns = (map(known, trials[name]) for name in COLUMNS)
    return list(zip(*columns, strict=True))


def test_a_frame_and_the_trials_that_it_was_made_of_are_the_same(tmp_path):
    records = [*make_grid(1), make_record(hardware="cpu:1"), make_failed(dataset="kmnist")]
    write_records(tmp_path, records)
    trials, problems = load([tmp_path])
    assert (trials.count, problems) == (len(records), ())
    assert rows(Trials.of(to_frame(trials))) == rows(trials)
    assert Trials.of(trials) is trials


def test_the_tables_of_a_part_of_a_frame():
    frame = from_records(make_grid(1))
    (section,) = make_tables(frame[frame["dataset"] == "mnist"], ["running-time"])
    assert {key.dataset for key in section.tables[0].cells} == {"mnist"}


def test_rows_are_taken_in_order():
    trials = Trials.of(from_records(make_grid(1)))
    taken = trials.take([3, 1])
    assert taken.count == 2
    assert rows(taken) == [rows(trials)[3], rows(trials)[1]]


def test_what_is_not_given_is_unknown():
    trials = tidy([{"hardware": "P100"}, {"hardware": "K80"}])
    assert trials["hardware"] == ["P100", "K80"]
    assert trials["torch"] == [None, None]
    assert all(map(math.isnan, trials["accuracy"]))


def test_more_than_a_block_of_rows_is_filled():
    assert from_records([make_record()] * (2 * BLOCK + 1)).shape[0] == 2 * BLOCK + 1


def test_lesser_records_are_counted_and_noted(tmp_path):
    records = make_grid(2)
    folder = write_records(tmp_path, records)
    for day in (1, 2):
        later = {"status": "failed", "started_at": f"2036-01-0{day}T12:00:00Z"}
        Experiment(folder).write(records[0].model_copy(update=later))
    found = load([folder]).trials
    assert [value for value in found["attempts"] if value is not None] == [2]
    [section] = make_tables(found, ["running-time"])
    [note] = [note for note in section.notes if isinstance(note, Attempts)]
    assert (note.trials, note.planned) == (1, 16)
    assert sentence(note) == (
        "other records, which are lesser and not used: 1 of 16 trials: "
        "2 × GoogLeNet · CIFAR10 · P100. They lie in attempts/"
    )
