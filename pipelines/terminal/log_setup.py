"""The log of a service: lines for people or for machines, and never a credential."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pythonjsonlogger.json import JsonFormatter
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler

from msflow_stream.logs import RedactingFormatter, Redactor
from msflow_stream.types import UserError

from .consoles import is_quiet

log = logging.getLogger(__name__)

LogKind = Literal["text", "json"]


@contextmanager
def logged(kind: LogKind, console: Console | None = None) -> Iterator[Redactor]:
    """Sends everything from INFO on to stderr, or above what a console shows; yields what is to be told of secrets.

    Where it is quiet, warnings and errors are all that is sent.

    What ends the program early is logged too where machines read the log, and where it is a bug: a traceback that
    Python prints would be no JSON, and could show a secret.
    """
    redactor = Redactor()
    _set_up(kind, console, redactor)
    before, threading.excepthook = threading.excepthook, _log_failed_thread
    try:
        yield redactor
    except (UserError, OSError) as error:
        if kind != "json":
            raise
        log.critical("%s", error)
        raise SystemExit(2) from None
    except Exception:
        log.critical("internal error; report it with the log", exc_info=True)
        raise SystemExit(1) from None
    finally:
        threading.excepthook = before


def _set_up(kind: LogKind, console: Console | None, redactor: Redactor) -> None:
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    inner: logging.Formatter
    if kind == "json":
        names = {"asctime": "time", "levelname": "level", "name": "logger"}
        inner = JsonFormatter(
            "{asctime}{levelname}{name}{message}", style="{", rename_fields=names, datefmt="%Y-%m-%dT%H:%M:%S%z"
        )
    elif console is not None:
        handler = RichHandler(
            console=console, show_path=False, highlighter=NullHighlighter(), log_time_format="%Y-%m-%d %H:%M:%S"
        )
        inner = logging.Formatter("%(message)s")
    else:
        inner = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(RedactingFormatter(inner, redactor))
    handler.setLevel(logging.WARNING if is_quiet() else logging.NOTSET)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in ("msflow_stream", "pipelines"):
        logging.getLogger(name).setLevel(logging.INFO)


def _log_failed_thread(failed: threading.ExceptHookArgs) -> None:
    name = "a thread" if failed.thread is None else failed.thread.name
    error = failed.exc_value or failed.exc_type()
    log.critical("internal error in %s; report it with the log", name, exc_info=error)
