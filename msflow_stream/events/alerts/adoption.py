"""The messages that a dead node left: they are taken over by one live node, and delivered by it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from msflow_stream.events.alerts.dispatcher import AlertDispatcher
from msflow_stream.files import held_lock

log = logging.getLogger(__name__)

QUEUES, TAKEN = ".alerts", ".taken"  # in the folder of a node


def take_over(home: Path, dispatcher: AlertDispatcher, is_away: Callable[[str], bool]) -> list[str]:
    """Takes over what dead nodes left, and returns their names. To be called now and then, by one thread.

    A node is dead when nobody holds the lock in its folder, and `is_away` says so too. Its folder is then moved into
    this node's, which only one node can do; and what was moved is taken over whatever becomes of this node meanwhile.

    Args:
        home: the folder of this node, whose lock it holds, beside those of all others.
        dispatcher: gets the messages.
        is_away: whether a node does not renew any lease.
    """
    claimed = [folder.name for folder in _others(home) if is_away(folder.name) and _claim(folder, home)]
    for folder in sorted((home / TAKEN).glob("*")):
        # Its own queues come first: they know what it had taken over itself.
        queues = sorted((path for path in folder.rglob(QUEUES) if path.is_dir()), key=lambda path: len(path.parts))
        if all(dispatcher.adopt(path, path.parent.name) for path in queues):
            log.info("%s: what it had to deliver is taken over", folder.name)
            shutil.rmtree(folder, ignore_errors=True)
    return claimed


def _others(home: Path) -> Iterator[Path]:
    for folder in sorted(home.parent.iterdir()):
        left = (folder / QUEUES, folder / TAKEN)
        if folder != home and not folder.is_symlink() and any(path.is_dir() for path in left):
            yield folder


def _claim(folder: Path, home: Path) -> bool:
    try:
        with held_lock(folder) as held:
            if held:
                (home / TAKEN).mkdir(exist_ok=True)
                folder.rename(home / TAKEN / f"{folder.name}-{uuid4().hex[:8]}")
            return held
    except OSError as error:  # another node was faster, or it cannot be moved
        log.info("%s is not taken over: %s", folder, error.strerror)
        return False
