"""Twelve cameras on three nodes: one node is killed, one is cut off for a minute, and all begin anew one by one.

Run: python -m tests.cluster.shows_live [--seconds 60] [--keep FOLDER]
It prints what it found, and ends with exit code 1 where something is not as it should be: every camera delivers again
within 30 s, none loses more than 5 s when a node begins anew, no two nodes have a camera at once, and every event is in
the store, once.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from prometheus_client.parser import text_string_to_metric_families

from msflow_stream.video.reading.video_reader import VideoReader
from tests.cluster.lease_check import events_of, facts, troubles
from tests.support.footage import write_clip
from tests.support.postgres import PASSWORD, USER, PostgresServer, programs
from tests.support.proxy import Partition
from tests.support.ray_cluster import add_node, children, kill_node, ray_cluster
from tests.support.rtsp import RtspCamera, write_units
from tests.support.stage import fit_scene, struck
from tests.support.videos import write_video
from tests.support.watching import Watching, until

CAMERAS, NODES, SERVERS = 12, 3, 3  # each server stands for as many cameras
AGAIN, HANDED_OVER = 30.0, 5.0  # seconds without a score: after a node has gone, and when one begins anew
LEAST_EVENT = 0.6  # seconds above the threshold that are an event in any case
PATIENCE = 240.0


class Row(NamedTuple):
    """A line of a camera's scores."""

    wall: datetime
    index: int
    alarm: bool


class Live:
    """The cameras, the database, the nodes, and the watch over them. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._open = folder, ExitStack()
        self.names = [f"cam{number:02}" for number in range(CAMERAS)]
        self.found: list[str] = []
        self.lines: list[Partition] = []

    def __enter__(self) -> Live:
        scenes = self.folder / "scenes"
        if not scenes.exists():
            fit_scene(write_clip(self.folder, "normal", 6), scenes)
        units = write_units(self._footage(), self.folder / "loop.units")
        server = self._open.enter_context(PostgresServer(_programs()))
        database = server.new_database().partition("?")[0].rpartition("/")[2]
        self.store = self._lead_to(server.folder / ".s.PGSQL.5432", database)
        servers = [self._open.enter_context(RtspCamera(units)) for _ in range(SERVERS)]
        urls = {name: self._line_to(servers[number % SERVERS]) for number, name in enumerate(self.names)}
        self.cluster = self._open.enter_context(ray_cluster(NODES))
        cameras = {name: {"url": url, "scene": "gate"} for name, url in urls.items()}
        options = ("--cluster", self.cluster.address, "--no-table")
        self.watch = Watching(self.folder, scenes, cameras, *options, store=self.store)
        self._open.enter_context(self.watch)
        return self

    def _footage(self) -> Path:
        """Something is wrong for three of ten seconds."""
        with VideoReader(self.folder / "normal.mp4") as reader:
            images = [frame.image for frame in reader]
        images += [struck(image) for image in images[:75]] + images[75:100]
        return write_video(self.folder / "loop.h264", images=images, format="h264")

    def _lead_to(self, socket: Path, database: str) -> str:
        self.database = self._open.enter_context(Partition(socket))
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.database.port}/{database}"

    def _line_to(self, camera: RtspCamera) -> str:
        self.lines.append(self._open.enter_context(Partition(camera.port)))
        return f"rtsp://127.0.0.1:{self.lines[-1].port}/live"

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def rows(self, camera: str) -> list[Row]:
        """All scores of a camera, of all nodes that had it."""
        path = self.watch.out / camera / "scores.csv"
        if not path.exists():
            return []
        with path.open() as file:
            return [
                Row(datetime.fromisoformat(line["wall"]), int(line["index"]), line["alarm"] == "1")
                for line in csv.DictReader(file)
                if line["alarm"]
            ]

    def last(self, camera: str) -> datetime:
        """When its last score came."""
        rows = self.rows(camera)
        return rows[-1].wall if rows else datetime.min.replace(tzinfo=UTC)

    def all_deliver(self, since: datetime, patience: float = PATIENCE) -> None:
        """Waits until every camera has been scored since a moment."""
        missing = set(self.names)

        def done() -> bool:
            missing.difference_update([name for name in missing if self.last(name) > since])
            return not missing

        until(done, f"no scores: {sorted(missing)}", patience, pause=0.5)

    def nodes(self) -> dict[str, Any]:
        """The nodes of Ray by the names that the watch has for them."""
        found = {}
        for node in self.cluster.list_all_nodes():
            found |= {name: node for name in self.cameras_of() if name.endswith(node.node_id[:8])}
        return found

    def cameras_of(self) -> dict[str, list[str]]:
        """The cameras that each node says it watches, by the metrics."""
        found: dict[str, list[str]] = {}
        for family in text_string_to_metric_families(self.watch.page("metrics")):
            for sample in family.samples:
                if sample.name == "msflow_node_cameras":
                    found.setdefault(sample.labels["node"], [])
                if sample.name == "msflow_frames_delivered_total":
                    found.setdefault(sample.labels["node"], []).append(sample.labels["camera"])
        return found

    def counts(self) -> list[int]:
        """How many cameras are placed on each node."""
        return [int(value) for value in self.watch._values("msflow_node_cameras", {})]

    def check(self, true: bool, claim: str) -> None:
        """Prints a claim and whether it holds."""
        say(f"{'ok ' if true else 'NOT'} {claim}")
        if not true:
            self.found.append(claim)


def say(text: str) -> None:
    sys.stdout.write(f"{datetime.now():%H:%M:%S} {text}\n")
    sys.stdout.flush()


def _programs() -> Path:
    found = programs()
    assert found is not None, "no PostgreSQL server; apt-get install postgresql"
    return found


def longest_gaps(live: Live, since: datetime, to: datetime) -> dict[str, float]:
    """The longest time without a score of each camera, in seconds, between two moments."""
    gaps = {}
    for name in live.names:
        walls = [since, *(row.wall for row in live.rows(name) if since < row.wall < to), to]
        gaps[name] = max((b - a).total_seconds() for a, b in pairwise(walls))
    return gaps


def watcher_of(node: Any) -> int:
    """The process that watches on a node."""
    for process in (one for those in node.all_processes.values() for one in those):
        for pid in children(process.process.pid):
            if "WatchNode" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
    raise AssertionError("nothing watches there")


def begin(live: Live) -> None:
    start = datetime.now(UTC)
    live.all_deliver(start)
    say(f"all {CAMERAS} cameras are watched, {live.counts()} on the nodes")
    time.sleep(20)


def victim(live: Live) -> tuple[str, Any]:
    """A node that is not the head, and has cameras."""
    counts = live.cameras_of()
    nodes = {name: node for name, node in live.nodes().items() if node is not live.cluster.head_node}
    return max(nodes.items(), key=lambda item: len(counts.get(item[0], [])))


def kill(live: Live) -> None:
    name, node = victim(live)
    at = datetime.now(UTC)
    kill_node(node)
    say(f"node {name} is killed")
    live.all_deliver(at + timedelta(seconds=1))
    time.sleep(20)
    gaps = longest_gaps(live, at - timedelta(seconds=2), datetime.now(UTC))
    live.check(
        max(gaps.values()) <= AGAIN, f"a node killed: no camera without scores for more than {max(gaps.values()):.1f} s"
    )
    live.cluster.remove_node(node, allow_graceful=False)


def come_back(live: Live) -> None:
    at = datetime.now(UTC)
    add_node(live.cluster)
    until(lambda: len(live.counts()) == NODES and min(live.counts()) > 1, "no load", PATIENCE, 1.0)
    time.sleep(10)
    gap = max(longest_gaps(live, at, datetime.now(UTC)).values())
    live.check(
        gap <= HANDED_OVER,
        f"a new node has taken its share, {live.counts()}: no camera without scores for more than {gap:.1f} s",
    )


def partition(live: Live, seconds: float) -> None:
    name, node = victim(live)
    watcher = watcher_of(node)
    raylet = node.all_processes["raylet"][0].process.pid
    at = datetime.now(UTC)
    for line in (live.database, *live.lines):
        line.cut(watcher)
    os.kill(raylet, signal.SIGSTOP)
    say(f"node {name} is cut off from the database and all cameras, and its raylet from Ray")
    try:
        live.all_deliver(at + timedelta(seconds=2))
        until(lambda: datetime.now(UTC) - at > timedelta(seconds=seconds), "", seconds + 10, 1.0)
    finally:
        for line in (live.database, *live.lines):
            line.heal()
        os.kill(raylet, signal.SIGCONT)
    say("the partition is over")
    time.sleep(30)
    gap = max(longest_gaps(live, at - timedelta(seconds=2), datetime.now(UTC)).values())
    live.check(gap <= AGAIN, f"a node cut off for {seconds:.0f} s: no camera without scores for more than {gap:.1f} s")


def roll(live: Live) -> None:
    at = datetime.now(UTC)
    before = live.watch.said().count("begins anew")
    live.watch.process.send_signal(signal.SIGUSR1)
    nodes = len(live.counts())
    until(lambda: live.watch.said().count("begins anew") >= before + nodes, "no node begins anew", PATIENCE, 1.0)
    time.sleep(30)
    gap = max(longest_gaps(live, at, datetime.now(UTC)).values())
    live.check(gap <= HANDED_OVER, f"all nodes began anew: no camera without scores for more than {gap:.1f} s")


def coordinator_dies(live: Live) -> None:
    live.watch.end(signal.SIGKILL)
    at = datetime.now(UTC)
    time.sleep(15)
    live.watch.start()
    live.all_deliver(datetime.now(UTC))
    gap = max(longest_gaps(live, at, datetime.now(UTC)).values())
    live.check(
        gap <= HANDED_OVER,
        f"the coordinator killed and begun again: no camera without scores for more than {gap:.1f} s",
    )


def runs_of(rows: list[Row]) -> Iterator[tuple[datetime, datetime]]:
    """Spans of scores above the threshold, without a break."""
    first: Row | None = None
    last: Row | None = None
    for row in rows:
        whole = last is not None and row.index > last.index and (row.wall - last.wall).total_seconds() < 1
        if first is not None and last is not None and not (row.alarm and whole):
            yield first.wall, last.wall
            first = None
        if row.alarm and first is None:
            first = row
        last = row
    # The last one may be cut off by the end.


def check_events(live: Live) -> None:
    wrong = troubles(live.store, live.watch.out)
    for line in wrong:
        say(f"    {line}")
    live.check(not wrong, "; ".join(facts(live.store)) if not wrong else "leases and events")
    events = events_of(live.store)
    runs = lost = 0
    for name in live.names:
        own = [one for one in events if one.source == name and one.start_wall is not None]
        for begin, end in runs_of(live.rows(name)):
            if (end - begin).total_seconds() < LEAST_EVENT:
                continue
            runs += 1
            if not any(one.start_wall <= end and (one.end_wall or end) >= begin for one in own):
                lost += 1
                say(f"    {name}: nothing in the store of {begin} to {end}")
    live.check(not lost, f"{runs} times that scores were above the threshold for long, {lost} of them without an event")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the partition")
    parser.add_argument("--keep", type=Path, help="folder for all files, which stay there")
    parser.add_argument("--only", nargs="*", help="parts: kill, come_back, partition, roll, coordinator")
    given = parser.parse_args()
    parts: Mapping[str, Callable[[Live], None]] = {
        "kill": kill,
        "come_back": come_back,
        "partition": lambda live: partition(live, given.seconds),
        "roll": roll,
        "coordinator": coordinator_dies,
    }
    with tempfile.TemporaryDirectory(dir=given.keep and given.keep.parent) as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with Live(folder) as live:
            begin(live)
            for name in given.only or parts:
                parts[name](live)
            live.watch.end()
            live.check(live.watch.process.returncode == 0, "the watch has ended properly")
            check_events(live)
    for claim in live.found:
        say(f"failed: {claim}")
    return 1 if live.found else 0


if __name__ == "__main__":
    sys.exit(main())
