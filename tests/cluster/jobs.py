"""Functions that tests have done on a cluster: where its processes find them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from msflow_stream.types import UserError


def process() -> tuple[int, str | None]:
    """Returns the process that this is, and how many threads it computes with."""
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def fail(text: str) -> None:
    """Fails as a person can mend it."""
    raise UserError(text)


def break_down() -> None:
    """Fails as only a programmer can mend it."""
    raise KeyError("a mistake")


def die_once(mark: Path) -> str:
    """Ends its process the first time, and returns the second."""
    if mark.exists():
        return "done"
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    return "not reached"


def die() -> None:
    """Ends its process."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def make() -> dict[str, int]:
    """Makes something that is kept."""
    return {"process": os.getpid(), "uses": 0}


def use(made: dict[str, int], mark: Path | None = None) -> tuple[int, int]:
    """Uses what is kept; returns where it is and how often it was used. With a mark, dies the first time."""
    if mark is not None:
        die_once(mark)
    made["uses"] += 1
    return made["process"], made["uses"]
