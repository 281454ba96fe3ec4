"""The command line. One file a command; a command's file is imported when it is called.

The only place that prints and exits. Exit codes: 0 done; 1 a check or a trial failed; 2 the
command or its input is wrong; 130 interrupted.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from raybench.errors import RaybenchError, nearest, printable

MEASURE, UNDERSTAND, PREPARE = "Measure", "Understand", "Prepare"

COMMANDS = {
    "demo": (MEASURE, "Run a small grid on this machine, offline, and print its three tables."),
    "run": (MEASURE, "Train, evaluate and record one trial on this machine."),
    "grid": (MEASURE, "Run a grid of trials on a Ray cluster, or on this machine."),
    "plan": (MEASURE, "Show what a grid would run, and what the cluster lacks; run nothing."),
    "submit": (MEASURE, "Run one trial as a Ray job, placed on the hardware that it names."),
    "autotune": (MEASURE, "Find the fastest execution, or the largest batch, on this machine."),
    "analyze": (UNDERSTAND, "Print running-time, accuracy and speedup tables."),
    "explain": (UNDERSTAND, "Say where the time goes, and why the speedup is not higher."),
    "compare": (UNDERSTAND, "Compare two result sets; exit 1 on a significant slowdown."),
    "results": (UNDERSTAND, "Put back records that could not be written to their place."),
    "schema": (UNDERSTAND, "Print the JSON Schema of a record."),
    "doctor": (PREPARE, "Check whether this machine can run trials, and say what to do if not."),
    "data": (PREPARE, "Fetch, stage or verify datasets."),
    "cluster": (PREPARE, "Write the batch scripts for a Slurm cluster to a folder."),
}
"""A row a command: its panel of the help, and a line on it. Its file has the command's name."""

ALIASES = {"tune-up": "autotune"}
"""Former names, which still work and which the help does not show."""

_asked = {"debug": False}
"""What was asked of all commands."""


class _LazyGroup(TyperGroup):
    """Knows its commands by name and one line of help, and imports one when it is called."""

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Return what the list of commands shows of one."""
        if cmd_name not in COMMANDS:
            return None
        panel, line = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=line, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = ALIASES.get(args[0], args[0])
        if name not in COMMANDS:
            if ctx.resilient_parsing:  # a shell asks what may come next
                return None, None, []
            hint = nearest(name, COMMANDS) or "See raybench --help."
            raise typer.BadParameter(f"no command {name!r}. {hint}", ctx=ctx)
        return name, _load(name), args[1:]


def _load(name: str) -> Any:
    module = importlib.import_module(f"raybench.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command(name)(getattr(module, name))
    for command in app.registered_commands:
        assert command.callback is not None
        described, _, example = (command.callback.__doc__ or "").partition("Example:")
        command.help = described
        command.epilog = f"Example: {' '.join(example.split())}" if example else None
        command.callback = _caught(command.callback)
    loaded = typer.main.get_command(app)
    loaded.name = name
    return loaded


def _caught(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a command raises into a message on stderr and an exit code: the one place."""

    @functools.wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            with _interrupted_by_signals():
                return callback(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            _say("interrupted; what is complete was kept")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # Whoever read our output has gone, as `| head` does; that is no error.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as error:
            if _asked["debug"]:
                raise
            if isinstance(error, (RaybenchError, OSError)):
                _say(str(error))
                raise typer.Exit(getattr(error, "exit_code", 2)) from None
            _say(
                f"this should not happen: {type(error).__name__}: {error}\n"
                "hint:    run it again with --debug, and report what it shows"
            )
            raise typer.Exit(1) from None

    return call


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1, which schedulers send, end a command as Ctrl-C does."""

    def interrupt(_number: int, _frame: Any) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # what is begun now is not to be disturbed
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _say(message: str) -> None:
    typer.echo("raybench: " + printable(message, keep="\n"), err=True)


def _version(wanted: bool) -> None:
    if wanted:
        from raybench import __version__

        typer.echo(f"raybench {__version__}")
        raise typer.Exit


application = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@application.callback()
def raybench(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="RAYBENCH_DEBUG", help="Show where an error arose.")
    ] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """How fast does this model train on each GPU of a cluster, and why?"""
    _asked["debug"] = debug


def main() -> None:
    """Run the command line."""
    application()
