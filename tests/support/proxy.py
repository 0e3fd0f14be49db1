"""A TCP proxy that can stop forwarding: the network between a camera or a database and us."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

PIECE = 4096  # bytes that a slow line passes on at once


class Proxy:
    """Forwards connections at `port` to another port of this machine, or to a socket in a file. A context manager.

    While stalled it takes what is sent and passes nothing on, so that neither side sees an error.
    """

    def __init__(self, target: int | Path) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def stall(self) -> None:
        """Passes nothing on from now on, on old connections and new ones."""
        self._flowing.clear()

    def resume(self) -> None:
        """Passes on what it kept, and what comes."""
        self._flowing.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                self._sockets.append(client)
                try:
                    server = self._connect()
                except OSError:  # nobody is there, which the client is told
                    client.close()
                    continue
                self._sockets.append(server)
                for pair in ((client, server), (server, client)):
                    thread = threading.Thread(target=self._forward, args=pair, daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, int):
            return socket.create_connection(("127.0.0.1", self._target))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._target))
        return server

    def _wait(self, client: socket.socket) -> None:
        """Waits while nothing is passed on of what a client sends or gets."""
        self._flowing.wait()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        client = source if source.getsockname()[1:] == (self.port,) else target
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._wait(client)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._flowing.set()
        for end in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it; close alone does not
            end.close()
        for thread in self._threads:
            thread.join(10)


class Partition(Proxy):
    """A proxy that can cut single processes off: what they send and get is kept until the partition is healed."""

    def __init__(self, target: int | Path) -> None:
        super().__init__(target)
        self._cut: frozenset[int] = frozenset()
        self._changed = threading.Condition()
        self._owned: dict[tuple[socket.socket, int], bool] = {}  # whether a process is at the end of a connection

    def cut(self, *processes: int) -> None:
        """Cuts these processes off, on old connections and new ones."""
        self._set(frozenset(processes))

    def heal(self) -> None:
        """Passes everything on again."""
        self._set(frozenset())

    def _set(self, processes: frozenset[int]) -> None:
        with self._changed:
            self._cut = processes
            self._changed.notify_all()

    def _wait(self, client: socket.socket) -> None:
        super()._wait(client)
        with self._changed:
            self._changed.wait_for(lambda: not any(self._owns(process, client) for process in self._cut))

    def _owns(self, process: int, client: socket.socket) -> bool:
        if (client, process) not in self._owned:
            self._owned[client, process] = has_connected(process, client.getpeername()[1], self.port)
        return self._owned[client, process]

    def __exit__(self, *_: object) -> None:
        self.heal()
        super().__exit__()


def has_connected(process: int, port: int, to: int) -> bool:
    """Whether a process has connected from one port of this machine to another one."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        here, there, inode = (line.split()[column] for column in (1, 2, 9))
        if (int(here.partition(":")[2], 16), int(there.partition(":")[2], 16)) == (port, to):
            files = Path("/proc", str(process), "fd")
            with contextlib.suppress(OSError):  # it has ended
                return any(str(file.readlink()) == f"socket:[{inode}]" for file in files.iterdir())
    return False


class SlowProxy(Proxy):
    """A line that carries so many bytes a second to the client: all its connections share them."""

    def __init__(self, target: int, rate: float) -> None:
        super().__init__(target)
        self._rate, self._target_port = rate, target
        self._lock, self._free = threading.Lock(), 0.0

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        from_server = source.getpeername()[1] == self._target_port
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)  # what is on its way is no part of the line
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                if from_server:
                    self._queue_up(len(data))
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _queue_up(self, size: int) -> None:
        """Waits for the piece's turn on the line."""
        with self._lock:
            self._free = max(self._free, time.monotonic()) + size / self._rate
            until = self._free
        time.sleep(max(0.0, until - time.monotonic()))
