"""A function is run in a process of its own that is killed before a chosen one of its changes to files."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link")


def run_killed(work: Callable[[], object], change: int) -> bool:
    """Runs `work` until just before its change number `change` (0: the first); False if it had no so many."""
    child = os.fork()
    if child == 0:
        _be_killed(work, change)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return False


def _be_killed(work: Callable[[], object], change: int) -> None:
    seen = 0

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            if seen == change:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    try:
        sys.addaudithook(look)
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
