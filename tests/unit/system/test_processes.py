from __future__ import annotations

import os
import subprocess
import sys

from raybench.system.processes import is_running, machine, started


def test_a_process_runs_until_it_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(child.pid)
    assert (started(child.pid) or 0) >= (started(os.getpid()) or 0) > 0
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(child.pid)  # dead, and not yet waited for
    child.communicate()
    assert not is_running(child.pid)


def test_a_machine_has_one_name() -> None:
    assert machine() == machine()
    assert os.uname().nodename in machine()
