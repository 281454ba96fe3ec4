"""What a person sees of running trials, in a log and on a terminal."""

from __future__ import annotations

import io

from records import make_record
from rich.console import Console

from raybench.record.state import TrialState
from raybench.report.live import LINE_EVERY_S, LiveView
from raybench.schedule.estimate import total_images


class Screen:
    """A log or a terminal, and a clock that is set by hand."""

    def __init__(self, *, terminal: bool) -> None:
        self.file = io.StringIO()
        self.now_s = 100.0
        console = Console(
            file=self.file, force_terminal=terminal, width=120, color_system=None, highlight=False
        )
        self.view = LiveView(console, clock=lambda: self.now_s)

    @property
    def text(self) -> str:
        return self.file.getvalue()


RECORD = make_record()
TRIAL = RECORD.spec
HALF = total_images(TRIAL) // 2


def state(phase: str, images: int = 0, epochs: int = 0, message: str = "") -> TrialState:
    return TrialState(
        phase=phase, images=images, epochs=RECORD.epochs[:epochs], node="node-1", message=message
    )


def test_a_log_has_a_line_for_each_event_and_no_bars() -> None:
    screen = Screen(terminal=False)
    with screen.view as view:
        view.start([TRIAL])
        view.update({TRIAL.trial_id: state("setup")})
        view.update({TRIAL.trial_id: state("setup")})
        view.update({TRIAL.trial_id: state("training", HALF, epochs=1)})
        view.update({TRIAL.trial_id: state("completed", 2 * HALF, epochs=1)})
    lines = screen.text.splitlines()
    assert lines[0] == f"{TRIAL.title}: setup on node-1"
    assert lines[1].startswith(f"{TRIAL.title}: epoch 1/{TRIAL.epochs}  ")
    assert "images/s)" in lines[1]
    assert lines[2] == f"{TRIAL.title}: training on node-1"
    assert lines[3] == f"{TRIAL.title}: done"
    assert len(lines) == 4


def test_a_log_says_every_half_minute_how_far_it_is() -> None:
    screen = Screen(terminal=False)
    with screen.view as view:
        view.start([TRIAL])
        view.update({TRIAL.trial_id: state("training", 1000)})
        screen.now_s += LINE_EVERY_S + 1
        view.update({TRIAL.trial_id: state("training", HALF)})
        view.update({TRIAL.trial_id: state("training", HALF)})
    running, overall = screen.text.splitlines()[1:]
    assert f"50% of {2 * HALF} images" in running
    assert overall.startswith("0 of 1 trial ended  ·  31 s so far, about ")


def test_a_failure_says_why() -> None:
    screen = Screen(terminal=False)
    with screen.view as view:
        view.start([TRIAL])
        view.update({TRIAL.trial_id: state("failed", message="[red]the loss[/] is\x1b[2J nan")})
    assert screen.text == f"{TRIAL.title}: FAILED  [red]the loss[/] is\\x1b[2J nan\n"


def test_a_terminal_shows_a_bar_for_each_running_trial_and_the_rate_of_the_last_seconds() -> None:
    screen = Screen(terminal=True)
    with screen.view as view:
        view.start([TRIAL])
        for images in (0, 1000, 2000):
            screen.now_s += 2
            view.update({TRIAL.trial_id: state("training", images)})
        shown = screen.text
        view.update({TRIAL.trial_id: state("completed", 2 * HALF)})
        ended = screen.text[len(shown) :]
    assert "━" in shown
    assert "500.0 images/s" in shown
    assert f"{(2 * HALF - 2000) // 500 + 1} s left" in shown
    assert "0 of 1 trial ended" in shown
    assert "1 of 1 trial ended" in ended
    assert "images/s" not in ended.rpartition("trial ended")[2]


def test_nothing_is_written_before_a_trial_starts() -> None:
    screen = Screen(terminal=False)
    with screen.view as view:
        view.say("starting Ray [on] this machine")
    assert screen.text == "starting Ray [on] this machine\n"
