"""What a person sees while trials run: which trial, which epoch, images/s, time left.

On a terminal a few lines that change in place; in a log file a line when something happens, and
one every half minute. All of it goes to stderr, so that stdout holds results only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from raybench.errors import count, printable
from raybench.record.state import ENDED, TrialState
from raybench.schedule.estimate import total_images
from raybench.schedule.time_left import TimeLeft, duration
from raybench.spec.trial import TrialSpec

LINE_EVERY_S = 30.0
RATE_OVER_S = 10.0


class LiveView:
    """Shows how far the trials of a run are, on stderr by default; a context manager.

    The clock gives seconds, and only goes forward.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._clock = clock
        # It keeps the rates as well, on a terminal or not.
        self._progress = Progress(
            BarColumn(bar_width=16),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            speed_estimate_period=RATE_OVER_S,
            get_time=clock,
        )
        self._tasks: dict[str, TaskID] = {}
        self._seen: dict[str, tuple[str, int]] = {}
        self._line_s = clock()

    def __enter__(self) -> LiveView:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def say(self, message: str) -> None:
        """Print a message, above what changes in place."""
        self._console.print(escape(printable(message, keep="\n")), soft_wrap=True)

    def start(self, trials: Sequence[TrialSpec]) -> None:
        """Show trials from now on: those of this run."""
        self._trials = {trial.trial_id: trial for trial in trials}
        self._started_s = self._line_s = self._clock()
        self._left = TimeLeft(trials)
        images = sum(total_images(trial) for trial in trials)
        self._overall = self._progress.add_task("", total=images)
        if self._console.is_terminal:
            self._progress.start()

    def update(self, states: Mapping[str, TrialState]) -> None:
        """Show how far the trials are that were started."""
        now_s = self._clock()
        running = {name: state for name, state in states.items() if state.phase not in ENDED}
        for trial_id in self._tasks.keys() - running.keys():
            self._progress.remove_task(self._tasks.pop(trial_id))
        rates = {name: self._rate(name, state) for name, state in running.items()}
        self._left.note(states, rates, now_s)
        for trial_id, state in states.items():
            self._say_news(trial_id, state)
        lines = {name: self._line(name, running[name], rates[name], now_s) for name in running}
        overall = self._overall_line(states, now_s)
        if self._console.is_terminal:
            self._show(states, lines, overall)
        elif now_s - self._line_s > LINE_EVERY_S:
            self._line_s = now_s
            for line in (*lines.values(), overall):
                self.say(line)

    def _rate(self, trial_id: str, state: TrialState) -> float | None:
        """Bring a running trial's task up to date; return its images/s over the last seconds."""
        if trial_id not in self._tasks:
            total = total_images(self._trials[trial_id])
            self._tasks[trial_id] = self._progress.add_task("", total=total)
        task_id = self._tasks[trial_id]
        self._progress.update(task_id, completed=state.images)
        return next(task.speed for task in self._progress.tasks if task.id == task_id)

    def _show(
        self, states: Mapping[str, TrialState], lines: Mapping[str, str], overall: str
    ) -> None:
        """Show a bar and a line for each running trial, and for all of them."""
        for trial_id, line in lines.items():
            self._progress.update(self._tasks[trial_id], description=line)
        images = sum(
            total_images(self._trials[name]) if state.phase in ENDED else state.images
            for name, state in states.items()
        )
        self._progress.update(self._overall, completed=images, description=overall)
        self._progress.refresh()

    def _say_news(self, trial_id: str, state: TrialState) -> None:
        """Print a line for an epoch or an end, and in a log also for a new phase."""
        news = (state.phase, len(state.epochs))
        phase, epochs = self._seen.get(trial_id, ("", 0))
        if news == (phase, epochs):
            return
        self._seen[trial_id] = news
        trial = self._trials[trial_id]
        for epoch in state.epochs[epochs:]:
            images_per_s = epoch.train_images / epoch.train_time_s
            self.say(
                f"{trial.title}: epoch {epoch.epoch}/{trial.epochs}  "
                f"{epoch.train_time_s:.2f} s training ({images_per_s:.1f} images/s), "
                f"{epoch.eval_time_s:.2f} s evaluation, accuracy {epoch.accuracy:.4f}"
            )
        if state.phase in ENDED and state.phase != phase:
            mark = "done" if state.phase == "completed" else state.phase.upper()
            self.say(f"{trial.title}: {mark}  {state.message}".rstrip())
        elif not self._console.is_terminal and state.phase != phase:
            self.say(f"{trial.title}: {state.phase} on {state.node}")

    def _line(self, trial_id: str, state: TrialState, rate: float | None, now_s: float) -> str:
        trial = self._trials[trial_id]
        total = total_images(trial)
        parts = [f"{trial.title}: {state.phase}"]
        if state.images:
            epoch = min(len(state.epochs) + 1, trial.epochs)
            parts.append(f"epoch {epoch}/{trial.epochs}")
            parts.append(f"{state.images / total:4.0%} of {total} images")
        if rate:
            parts.append(f"{rate:.1f} images/s")
            left_s = self._left.of_trial_s(trial_id, now_s)
            parts.append(f"{duration(left_s or 0)} left")
        return "  ".join(parts)

    def _overall_line(self, states: Mapping[str, TrialState], now_s: float) -> str:
        ended = [state.phase for state in states.values() if state.phase in ENDED]
        failed = len(ended) - ended.count("completed")
        text = f"{len(ended)} of {count(len(self._trials), 'trial')} ended"
        if failed:
            text += f", {failed} not completed"
        text += f"  ·  {duration(now_s - self._started_s)} so far"
        left_s = self._left.of_all_s(now_s)
        return text + (f", about {duration(left_s)} left" if left_s is not None else "")
