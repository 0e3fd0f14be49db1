"""Nodes as real processes that are killed, paused and cut off, and a server that is restarted meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from msflow_stream.events.store import EventStore
from msflow_stream.events.store.leases import Leases
from tests.cluster.lease_check import events_of, leases_of, overlaps, troubles
from tests.support.data import REPOSITORY
from tests.support.postgres import PostgresServer, by_port
from tests.support.proxy import Partition
from tests.support.watching import until

TTL = 9.0  # seconds; a machine that tests may need a third of it for an answer

# Watches a camera as long as it may: a line in a file that all nodes share for each "frame", and events in the store.
NODE = """
import json, os, sys, time
from dataclasses import replace
from datetime import UTC, datetime
from msflow_stream.events.store import EventStore, StoreUnavailable
from msflow_stream.events.store.lease_keeper import LeaseKeeper, uptime
from msflow_stream.events.store.leases import Leases
from tests.support.events import message

url, name, path, ttl = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
lines = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def say(**values):
    os.write(lines, (json.dumps({"node": name, "at": uptime(), **values}) + "\\n").encode())

def watch(keeper, store, lease):
    number, open_event = 0, None
    while "gate" in keeper.cameras:
        mark = keeper.mark("gate")
        if mark is None:
            return
        os.write(lines, (json.dumps({"node": name, "at": uptime(), "wrote": lease.fence}) + "\\n").encode())
        now = datetime.now(UTC)
        if open_event is None:
            open_event = message(f"{name}-{lease.fence}-{number}", start_wall=now).event
            kind = "open"
        else:
            seconds = (now - open_event.start_wall).total_seconds()
            open_event = replace(open_event, version=2, end=0.2 + seconds, end_wall=now)
            kind = "close"
        try:
            store.save(replace(message(), kind=kind, event=open_event, lease=mark))
        except StoreUnavailable:
            pass
        if kind == "close":
            open_event, number = None, number + 1
        time.sleep(0.05)

with Leases(url, name, ttl) as leases, EventStore(url) as store, LeaseKeeper(leases, lambda cameras: None) as keeper:
    say(began=True)
    while True:
        asked = uptime()
        try:
            lease = keeper.take("gate")
        except StoreUnavailable:
            lease = None
        if lease is None:
            time.sleep(0.1)
            continue
        say(took=lease.fence)
        watch(keeper, store, lease)
        keeper.drop("gate")
        say(dropped=lease.fence)
"""


class Line(NamedTuple):
    """A line that a node wrote, and when, by the clock of the machine."""

    node: str
    at: float
    took: int = 0
    wrote: int = 0
    dropped: int = 0
    began: bool = False


class Nodes:
    """Nodes that all want one camera. A context manager; killed at the end."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder, self.file = url, folder, folder / "lines"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = [sys.executable, "-c", NODE, self._url, name, str(self.file), str(TTL)]
        with (self._folder / f"{name}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)

    def lines(self) -> list[Line]:
        if not self.file.exists():
            return []
        return [Line(**json.loads(line)) for line in self.file.read_text().splitlines()]

    def writer(self, *others: str) -> str:
        """The node that has the camera, as soon as it has written in this time, and is none of others."""
        before = len(self.lines())

        def found() -> str | None:
            wrote = [line.node for line in self.lines()[before:] if line.wrote and line.node not in others]
            return wrote[-1] if wrote else None

        return until(found, "no node writes") or ""

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    yield postgres_server
    if not postgres_server.runs:
        postgres_server.start()


def checked(nodes: Nodes, url: str) -> None:
    """No node believed that it had the camera after another one had it, and the store has each event once, over."""
    lines = nodes.lines()
    first = {
        fence: min(line.at for line in lines if line.wrote == fence) for fence in {one.wrote for one in lines} - {0}
    }
    last = {fence: max(line.at for line in lines if line.wrote == fence) for fence in first}
    for before, after in pairwise(sorted(first)):
        assert last[before] < first[after]
    assert list(overlaps(leases_of(url))) == []
    with Leases(url, "z") as leases:  # and the last holder's event is over as soon as another node has the camera
        leases.patience = 60.0
        until(lambda: leases.acquire("gate"), "the camera is not free")
    assert troubles(url) == []
    assert len(events_of(url)) > 3


@pytest.mark.long
def test_nodes_that_are_killed_paused_and_cut_off_never_watch_together(server: PostgresServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        proxy = stack.enter_context(Partition(server.socket))
        url = by_port(server.new_database(), proxy.port)
        with EventStore(url) as store:
            store.open()
        nodes = stack.enter_context(Nodes(url, tmp_path))
        for name in ("a", "b", "c"):
            nodes.start(name)
        first = nodes.writer()
        nodes.signal(first, signal.SIGSTOP)
        second = nodes.writer(first)
        nodes.signal(first, signal.SIGCONT)
        assert nodes.processes[first].wait(60) == -signal.SIGKILL  # it ends itself
        assert "stood still for longer than its leases" in (tmp_path / f"{first}.log").read_text()
        proxy.cut(nodes.processes[second].pid)
        third = nodes.writer(second, first)
        until(lambda: any(line.dropped and line.node == second for line in nodes.lines()), "it does not stop")
        assert nodes.processes[second].poll() is None
        proxy.heal()
        nodes.start(first)
        server.stop("immediate")
        server.start()
        fourth = nodes.writer()
        nodes.signal(fourth, signal.SIGKILL)
        nodes.writer(fourth)
        assert third in nodes.processes
        for process in nodes.processes.values():
            process.kill()
            process.wait()
        checked(nodes, url)
