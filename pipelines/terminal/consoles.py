"""The consoles that jobs speak to: silent where --quiet asks for it, and plain where NO_COLOR does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)  # ends with the context in which it was set


def be_quiet() -> None:
    """Silences bars and summaries from here on, for as long as this context lasts."""
    _QUIET.set(True)


@contextmanager
def silence(wanted: bool = True) -> Iterator[None]:
    """Silences bars and summaries within, if that is wanted."""
    token = _QUIET.set(wanted or is_quiet())
    try:
        yield
    finally:
        _QUIET.reset(token)


def is_quiet() -> bool:
    """Returns whether bars and summaries are silenced here."""
    return _QUIET.get()


def summary_console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """The console for what a job did. What a command is there to print, as a listing, goes to a console of its own."""
    return Console(stderr=stderr, soft_wrap=soft_wrap, quiet=is_quiet())


def trouble_console(console: Console) -> Console:
    """The console for what went wrong in a job: that of its results, or stderr where that one is silent."""
    return Console(stderr=True) if console.quiet else console


@contextmanager
def plain_if_asked() -> Iterator[None]:
    """Keeps every escape sequence from the output while NO_COLOR is set, whatever FORCE_COLOR and the terminal say.

    Rich takes colours away for NO_COLOR, but neither bold text nor what moves the cursor; on a dumb terminal it takes
    all of them. Its guess at the size of one is 80 columns, so that the real size is said.
    """
    if not os.environ.get("NO_COLOR"):
        yield
        return
    columns, lines = shutil.get_terminal_size()
    plain = {"TERM": "dumb", "COLUMNS": str(columns), "LINES": str(lines)}
    before = {name: os.environ.get(name) for name in plain}
    os.environ.update(plain)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
