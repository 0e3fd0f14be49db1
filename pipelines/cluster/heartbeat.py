"""Whether a cluster's head is there: a thread of its own asks it, as Ray itself may wait for it for minutes."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from msflow_stream.types import UserError

ASK_SECONDS, ANSWER_SECONDS = 1.0, 3.0
LEAST_FAILURES = 4
GONE_SECONDS = 10.0  # without an answer: the head is gone, or started again, and knows nothing of this job
STUCK_SECONDS = 10.0  # after that, for whoever asks `check`, until the process ends all the same


class Heartbeat:
    """Asks a cluster's head every second. A context manager.

    Args:
        address: as a person gave it, for messages.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        import ray

        direct = address if address.startswith("ray://") else ray.get_runtime_context().gcs_address
        self._place = head_of(direct) or ("127.0.0.1", 0)
        self._stop = Event()
        self._failures = 0  # one after the other: on a machine that is overloaded, time alone says nothing of the head
        self._failing_since = 0.0

    def __enter__(self) -> Self:
        Thread(target=self._watch, name="heartbeat", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def check(self) -> None:
        """Returns if the head answered lately.

        Raises:
            UserError: it is gone.
        """
        if self._silent > GONE_SECONDS:
            raise UserError(self._text)

    @property
    def _silent(self) -> float:
        """Seconds for which nothing answered, as far as that was tried."""
        return time.monotonic() - self._failing_since if self._failures >= LEAST_FAILURES else 0.0

    @property
    def _text(self) -> str:
        return (
            f"the cluster {self._address} is gone, its head does not answer: what is complete is kept; start the "
            "cluster again, and the same command goes on"
        )

    def _watch(self) -> None:
        while not self._stop.wait(ASK_SECONDS):
            asked = time.monotonic()
            if answers(self._place):
                self._failures = 0
                continue
            if not self._failures:
                self._failing_since = asked
            self._failures += 1
            if self._silent > GONE_SECONDS + STUCK_SECONDS:
                print(f"error: {self._text}", file=sys.stderr, flush=True)  # noqa: T201
                os._exit(2)  # Ray's own threads hold the main one


def head_of(address: str) -> tuple[str, int] | None:
    """Returns host and port of a cluster's head, given as a person does; None where that is not known.

    Raises:
        UserError: the address is none.
    """
    text = address.removeprefix("ray://")
    if address == "auto":
        known = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray" / "ray_current_cluster"
        text = os.environ.get("RAY_ADDRESS", "").removeprefix("ray://")
        if not text or text == "auto":
            text = known.read_text(encoding="utf-8").strip() if known.is_file() else ""
        if not text:
            return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"a cluster's address is auto, HOST:PORT or ray://HOST:PORT, not {address!r}")
    return host.strip("[]"), int(port)


def answers(place: tuple[str, int]) -> bool:
    """Returns whether anything listens at a host and port."""
    try:
        socket.create_connection(place, ANSWER_SECONDS).close()
    except OSError:
        return False
    return True
