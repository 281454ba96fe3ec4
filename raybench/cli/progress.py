"""What a person sees while trials run: which trial, which epoch, images/s, time left.

On a terminal a few lines that change in place; in a log file a line when something happens, and
one every half minute. All of it goes to stderr, so that stdout holds results only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from raybench.launch.local import run_in_process
from raybench.record.schema import TrialRecord
from raybench.record.state import ENDED, TrialState
from raybench.schedule.estimate import total_images
from raybench.spec.trial import TrialSpec
from raybench.trial.process.trial_process import TrialRequest

LINE_EVERY_S = 30.0
RATE_OVER_S = 10.0


class Rate:
    """Images a second over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, images: int) -> None:
        """Note how many images were done at a time."""
        self._samples.append((now_s, images))
        while len(self._samples) > 2 and now_s - self._samples[0][0] > RATE_OVER_S:
            self._samples.popleft()

    @property
    def images_per_s(self) -> float:
        """The rate, 0 until two times are known."""
        if len(self._samples) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


class ProgressView:
    """Shows how far the trials of a run are.

    Args:
        trials: the trials of this run, in running order.
        console: where to; stderr by default.
    """

    def __init__(self, trials: Sequence[TrialSpec], console: Console | None = None) -> None:
        self._trials = {trial.trial_id: trial for trial in trials}
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._rates = {trial_id: Rate() for trial_id in self._trials}
        self._seen: dict[str, tuple[str, int]] = {}
        self._started_s = time.monotonic()
        self._line_s = self._started_s
        self._states: Mapping[str, TrialState] = {}

    def __enter__(self) -> ProgressView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, states: Mapping[str, TrialState]) -> None:
        """Show the states of all trials that were started."""
        now_s = time.monotonic()
        self._states = states
        for trial_id, state in states.items():
            self._rates[trial_id].add(now_s, state.images)
            self._say_news(trial_id, state)
        if self._console.is_terminal:
            self._live.update(self._picture(), refresh=True)
        elif now_s - self._line_s > LINE_EVERY_S:
            self._line_s = now_s
            for trial_id in self._running():
                self._console.print(escape(self._line(trial_id)), soft_wrap=True)
            self._console.print(escape(self._overall()), soft_wrap=True)

    def _running(self) -> list[str]:
        return [name for name, state in self._states.items() if state.phase not in ENDED]

    def _say_news(self, trial_id: str, state: TrialState) -> None:
        """Print a line for an epoch or an end, and in a log also for a new phase."""
        news = (state.phase, len(state.epochs))
        before = self._seen.get(trial_id, ("", 0))
        if news == before:
            return
        self._seen[trial_id] = news
        title = self._trials[trial_id].title
        for epoch in state.epochs[before[1] :]:
            images_per_s = epoch.train_images / epoch.train_time_s
            self._console.print(
                escape(
                    f"{title}: epoch {epoch.epoch}/{self._trials[trial_id].epochs}  "
                    f"{epoch.train_time_s:.2f} s training ({images_per_s:.1f} images/s), "
                    f"{epoch.eval_time_s:.2f} s evaluation, accuracy {epoch.accuracy:.4f}"
                ),
                soft_wrap=True,
            )
        if state.phase in ENDED and state.phase != before[0]:
            mark = "done" if state.phase == "completed" else state.phase.upper()
            self._console.print(
                escape(f"{title}: {mark}  {state.message}".rstrip()), soft_wrap=True
            )
        elif not self._console.is_terminal and state.phase != before[0]:
            self._console.print(escape(f"{title}: {state.phase} on {state.host}"), soft_wrap=True)

    def _line(self, trial_id: str) -> str:
        trial, state = self._trials[trial_id], self._states[trial_id]
        total = total_images(trial)
        rate = self._rates[trial_id].images_per_s
        epoch = min(len(state.epochs) + 1, trial.epochs)
        parts = [f"{trial.title}: {state.phase}"]
        if state.images:
            parts.append(f"epoch {epoch}/{trial.epochs}")
            parts.append(f"{state.images / total:4.0%} of {total} images")
        if rate:
            parts.append(f"{rate:.1f} images/s")
            parts.append(f"{duration((total - state.images) / rate)} left")
        return "  ".join(parts)

    def _overall(self) -> str:
        ended = [state.phase for state in self._states.values() if state.phase in ENDED]
        failed = len(ended) - ended.count("completed")
        text = f"{len(ended)} of {len(self._trials)} trials ended"
        if failed:
            text += f", {failed} not completed"
        elapsed = time.monotonic() - self._started_s
        text += f"  ·  {duration(elapsed)} so far"
        left = self._left_s(elapsed)
        return text + (f", about {duration(left)} left" if left is not None else "")

    def _left_s(self, elapsed_s: float) -> float | None:
        """Estimate the rest from the share of all images that is done."""
        total = sum(total_images(trial) for trial in self._trials.values())
        done = sum(
            total_images(self._trials[name]) if state.phase in ENDED else state.images
            for name, state in self._states.items()
        )
        return elapsed_s * (total - done) / done if done else None

    def _picture(self) -> Group:
        table = Table.grid(padding=(0, 1))
        for trial_id in self._running():
            state = self._states[trial_id]
            total = total_images(self._trials[trial_id])
            table.add_row(_bar(state.images / total), Text(self._line(trial_id)))
        return Group(table, Text(self._overall(), style="dim"))


def _bar(share: float, width: int = 16) -> Text:
    full = round(min(share, 1.0) * width)
    return Text("━" * full, style="green") + Text("━" * (width - full), style="dim")


def duration(seconds: float) -> str:
    """Write seconds as ``42 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def show_trial(request: TrialRequest) -> TrialRecord:
    """Run one trial in a process of its own, and show how far it is."""
    # Closed at once when interrupted, so that the trial can record how far it came.
    with ProgressView([request.spec]) as view, closing(run_in_process(request)) as states:
        for state in states:
            view.update({request.spec.trial_id: state})
    record = request.folder.read(request.spec.trial_id)
    assert record is not None
    return record


def summary(record: TrialRecord, path: Path) -> str:
    """Return what a person wants to know of one trial."""
    rows = [("trial", record.spec.title), ("status", record.status)]
    if record.error:
        rows.append(("error", record.error.message.replace("\n", "\n" + " " * 20)))
    if record.hardware:
        verified = "verified" if record.hardware.verified else "NOT verified"
        rows.append(("hardware", f"{record.hardware.detected} ({verified})"))
    if record.tune_up:
        rows.append(("executed", f"{record.tune_up.chosen.title}, as a tune-up chose"))
    if record.running_time_s is not None:
        count = len(record.epochs)
        rows.append(("running time", f"{record.running_time_s:.3f} s for {count} epoch(s)"))
        rows.append(("accuracy", f"{record.epochs[-1].accuracy:.4f}"))
    if record.images_per_s is not None:
        rows.append(("training", f"{record.images_per_s:.1f} images/s end to end"))
    if record.compute_only_images_per_s is not None:
        rows.append(("compute only", f"{record.compute_only_images_per_s:.1f} images/s"))
    if record.step_ms is not None:
        step = record.step_ms
        rows.append(
            (
                "step",
                f"{step.p50:.2f} ms (median of {step.count}; 5–95 %: "
                f"{step.p05:.2f}–{step.p95:.2f})",
            )
        )
    if record.phases_ms is not None:
        phases = record.phases_ms.model_dump()
        parts = [f"{name} {part['p50']:.2f}" for name, part in phases.items() if part]
        rows.append(("phases", ", ".join(parts) + " ms"))
    if record.device_telemetry and record.device_telemetry.energy_j is not None:
        rows.append(("energy", f"{record.device_telemetry.energy_j:.1f} J"))
    if record.setup_time_s is not None:
        warmup = f", warm-up {record.warmup_time_s:.2f} s" if record.warmup_time_s else ""
        rows.append(("untimed", f"setup {record.setup_time_s:.2f} s{warmup}"))
    rows.extend(("warning", warning.message) for warning in record.warnings)
    rows.append(("record", str(path)))
    return "\n".join(f"{name:<18}  {text}" for name, text in rows)
