"""Processes of the program that begin at once: forks of one that has imported it already.

To import it costs seconds of CPU, and tests start it again and again. A fork runs the same `main` with arguments,
environment, folder and output of its own, is a process for signals and for /proc, and ends as any other.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import IO, Any

from filelock import FileLock

from tests.support.data import REPOSITORY

MOST_BYTES = 1 << 20  # of a request: arguments and environment
READY = b"ready"
PATIENCE = 60.0  # seconds, in which somebody connects


class Prepared:
    """A connection to the process that has imported the program, and is forked for each start of it.

    All processes of a run of the tests share one, which the first of them starts, and which ends with the last.
    """

    def __init__(self) -> None:
        name = f"\0msflow-tests-{os.getuid()}-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
        self._channel, self._ended = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET), dict[int, int]()
        with FileLock(Path(gettempdir()) / f"msflow-tests-{os.getuid()}.lock"):
            try:
                self._channel.connect(name)
            except ConnectionRefusedError:
                command = [sys.executable, "-m", __name__, name.removeprefix("\0")]
                subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, start_new_session=True, check=True)
                self._channel.connect(name)
        assert self._channel.recv(MOST_BYTES) == READY, "the program cannot be imported"

    def begin(self, arguments: Sequence[str], out: IO[Any], err: IO[Any] | None = None, before: str = "") -> Forked:
        """Starts the program.

        Args:
            arguments: of its command.
            out, err: files for what it says; errors go where the rest does if None.
            before: Python that is run first, as with `python -c`.
        """
        values = {"arguments": list(arguments), "before": before}
        values |= {"environment": dict(os.environ), "folder": str(Path.cwd())}
        outputs = [out.fileno(), (err or out).fileno()]
        socket.send_fds(self._channel, [json.dumps(values).encode()], outputs)
        while (answer := self._hear())["code"] is not None:
            pass
        return Forked(self, answer["pid"])

    def code(self, pid: int, within: float | None = 0.0) -> int | None:
        """Returns the exit code of a process, once it has one; waits for it for some seconds, or for ever."""
        end = None if within is None else time.monotonic() + within
        while pid not in self._ended:
            wait = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._channel], [], [], wait)[0]:
                return None
            self._hear()
        return self._ended[pid]

    def _hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._channel.recv(MOST_BYTES))
        if heard["code"] is not None:
            self._ended[heard["pid"]] = heard["code"]
        return heard

    def close(self) -> None:
        """Lets go of it."""
        self._channel.close()


class Forked:
    """The program in a process of its own, with what tests use of `subprocess.Popen`."""

    def __init__(self, origin: Prepared, pid: int) -> None:
        self._origin, self.pid = origin, pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus the number of the signal that ended it; None while it runs."""
        return self._origin.code(self.pid)

    def poll(self) -> int | None:
        """As `returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, and returns its exit code."""
        code = self._origin.code(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired("the program", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As by a power cut."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()


@cache
def prepared() -> Prepared:
    """The one of this process, which ends with it."""
    one = Prepared()
    atexit.register(one.close)
    return one


class _Server:
    """Forks on request, and tells who asked what became of each fork.

    Attributes:
        asked: by whom, by process; to be told.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening, self._channels, self._asked = listening, list[socket.socket](), dict[int, socket.socket]()
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake)

    def serve(self) -> list[str] | None:
        """Returns None in the end, and in each fork the arguments to run the program with."""
        while True:
            ready, _, _ = select.select([self._listening, self._woken, *self._channels], [], [], PATIENCE)
            if not ready and not self._channels:
                return None
            if self._woken in ready:
                os.read(self._woken, MOST_BYTES)
                self._tell_ended()
            if self._listening in ready:
                self._channels.append(self._listening.accept()[0])
                self._channels[-1].send(READY)
            for channel in [one for one in self._channels if one in ready]:
                content, outputs, _, _ = socket.recv_fds(channel, MOST_BYTES, 2)
                if not content:
                    self._channels.remove(channel)
                    channel.close()
                    if not self._channels:
                        return None
                elif self._fork(channel, outputs):
                    return _become(json.loads(content), outputs)

    def _fork(self, channel: socket.socket, outputs: Sequence[int]) -> bool:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._woken, self._wake, *(one.detach() for one in [*self._channels, self._listening])):
                os.close(end)
            return True
        for output in outputs:
            os.close(output)
        self._asked[pid] = channel
        channel.send(json.dumps({"pid": pid, "code": None}).encode())
        return False

    def _tell_ended(self) -> None:
        with suppress(ChildProcessError):  # none is left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                message = {"pid": ended[0], "code": os.waitstatus_to_exitcode(ended[1])}
                with suppress(OSError):  # who asked has ended, too
                    self._asked.pop(ended[0]).send(json.dumps(message).encode())


def _become(request: dict[str, Any], outputs: Sequence[int]) -> list[str]:
    for output, stream in zip(outputs, (sys.stdout, sys.stderr), strict=True):
        os.dup2(output, stream.fileno())
        os.close(output)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    exec(request["before"], {})
    arguments: list[str] = request["arguments"]
    return arguments


def main() -> None:
    """Imports what commands and networks need, and serves; in a fork, runs the program."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(f"\0{sys.argv[1]}")
    listening.listen()
    if os.fork():
        os._exit(0)  # who asked for it need not wait for its end
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # as the program does, before it imports anything
    import timm  # noqa: F401

    import cli
    import pipelines.fit
    import pipelines.record
    import pipelines.watch  # noqa: F401

    gc.freeze()
    arguments = _Server(listening).serve()
    if arguments is None:
        os._exit(0)  # to tidy up takes long
    sys.argv = [cli.__file__, *arguments]
    cli.main()


if __name__ == "__main__":
    main()
