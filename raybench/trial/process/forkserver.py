"""Clean processes: forked at once from a server that has torch imported and no device touched.

What runs in one starts with clean allocators, libraries and random generators, and whatever
becomes of it, a crash, a kill for memory or a hang, leaves the asker standing.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from raybench.errors import RaybenchError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

GRACE_S = 20.0
"""Seconds that an interrupted process has to end in good order before it is killed."""

PRELOADED = ["raybench.trial.run", "torchvision"]
"""Modules that the server imports before the first process is forked from it."""


def fork_server() -> Any:
    """Return the context that clean processes, their pipes and counters come from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(process: ForkServerProcess) -> None:
    """Start a process of the server's, without importing the caller's main module there.

    It needs nothing of that. In a Ray worker that is Ray's own main script, whose import costs a
    second.
    """
    with _no_main_module():
        process.start()


@contextmanager
def _no_main_module() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def settle() -> None:
    """Begin a clean process: its signals are its own, and it ends with whoever asked for it."""
    global _is_clean  # noqa: PLW0603 - it is a fact of the process
    _is_clean = True
    _take_interrupts()
    _follow_parent()


_is_clean = False
"""Whether this is a clean process itself."""


def _take_interrupts() -> None:
    """Let the first signal interrupt this process, and none disturb what it does then.

    In a process group of its own, because a terminal's Ctrl-C is for whoever asked for the
    process, who then interrupts it.
    """

    def interrupt(_number: int, _frame: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    os.setpgrp()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def _follow_parent() -> None:
    """Interrupt this process when the one that asked for it dies: none is left behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=wait, name="follow-parent", daemon=True).start()


class CallFailedError(Exception):
    """A called function raised an error that is none of raybench's."""


class ProcessDiedError(Exception):
    """A called process ended, or was ended, without an answer."""


def call(function: Callable[..., Any], *arguments: Any, timeout_s: float) -> Any:
    """Call a function of a module in a clean process, and return what it returns.

    A process that is clean itself, and has touched no device yet, is forked for it; a server of
    its own would import torch once more.

    Args:
        function: its name, arguments and result have to be picklable.
        arguments: what it is called with.
        timeout_s: seconds after which the process is killed.

    Raises:
        RaybenchError: the function raised it.
        CallFailedError: the function raised something else.
        ProcessDiedError: the process crashed, was killed, or took too long.
    """
    context: Any = multiprocessing.get_context("fork") if _is_clean else fork_server()
    answers, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_answer, args=(function, arguments, dict(os.environ), sender), daemon=False
    )
    start(process)
    sender.close()
    try:
        multiprocessing.connection.wait([answers], timeout=timeout_s)
        if not answers.poll():
            raise ProcessDiedError(f"it took more than {timeout_s:.0f} s")
        result, error = answers.recv()
    except EOFError:
        process.join()
        raise ProcessDiedError(how_it_ended(process.exitcode)) from None
    finally:
        process.kill()
        process.join()
        answers.close()
    if error is not None:
        raise error
    return result


def how_it_ended(code: int | None) -> str:
    """Say what an exit code means: ``was killed by SIGKILL``, ``ended with exit code 1``."""
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _answer(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    environ: Mapping[str, str],
    answers: Connection,
) -> None:
    """Run in the called process."""
    os.environ.update(environ)
    settle()
    try:
        answers.send((function(*arguments), None))
    except RaybenchError as error:
        answers.send((None, error))
    except Exception as error:  # noqa: BLE001 - it is raised again where the call was made
        first = (str(error).strip() or "no message").splitlines()[0]
        answers.send((None, CallFailedError(f"{type(error).__name__}: {first}")))
