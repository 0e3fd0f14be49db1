"""A node watches a camera while it holds its lease: not before, and not for longer."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from msflow_stream.config.cameras import Camera
from msflow_stream.events.store import StoreUnavailable
from msflow_stream.events.store.lease_keeper import LeaseKeeper
from msflow_stream.types import LeaseMark, UserError
from pipelines.cluster.leased_watch import LeasedWatch
from pipelines.machine_watch import MachineWatch
from tests.support.watching import until

GATE = Camera.model_validate({"url": "rtsp://192.0.2.1/live", "scene": "gate"})
YARD = Camera.model_validate({"url": "rtsp://192.0.2.1/live", "scene": "yard"})


@dataclass
class Database:
    """The leases of all nodes."""

    held: dict[str, str] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    answers: bool = True


class Keeper:
    """The leases of one node."""

    def __init__(self, database: Database, node: str) -> None:
        self._database, self._node = database, node
        self.lost: set[str] = set()
        self.away = False

    @property
    def cameras(self) -> frozenset[str]:
        return frozenset(name for name, node in self._database.held.items() if node == self._node) - self.lost

    def take(self, camera: str) -> object:
        if not self._database.answers:
            raise StoreUnavailable("it is away")
        if self._database.held.setdefault(camera, self._node) != self._node:
            return None
        self._database.log.append((self._node, camera))
        return object()

    def drop(self, camera: str) -> None:
        self.lost.discard(camera)
        del self._database.held[camera]

    def mark(self, camera: str) -> LeaseMark:
        return LeaseMark(7, datetime.now(UTC))


class Watched:
    """A watcher: cameras begin at once, and end when a test lets them."""

    def __init__(self) -> None:
        self.cameras: dict[str, Camera] = {}
        self.ending: set[str] = set()
        self.lets_end = True
        self.refused: set[str] = set()
        self._stopped = threading.Event()
        self.runner = SimpleNamespace(stop=lambda seconds: self._stopped.set())

    def change(self, cameras: Mapping[str, Camera]) -> None:
        if self.refused & cameras.keys():
            raise UserError("it cannot be watched")
        self.cameras = dict(cameras)

    def drop(self, names: Collection[str]) -> None:
        for name in names:
            if self.cameras.pop(name, None) is not None and not self.lets_end:
                self.ending.add(name)

    def has_ended(self, name: str) -> bool:
        return name not in self.cameras and name not in self.ending

    def watch(self) -> None:
        self._stopped.wait()


class Scenes:
    folder = Path("/nowhere")

    def __init__(self) -> None:
        self.missing: set[str] = set()

    def get(self, name: str) -> Any:
        if name in self.missing:
            raise UserError(f"no scene {name}")
        return SimpleNamespace(settings=SimpleNamespace(input=SimpleNamespace(size=(64, 96))))


class Node:
    """A node: its watch over what is only remembered."""

    def __init__(self, database: Database, name: str) -> None:
        self.keeper, self.watched, self.scenes = Keeper(database, name), Watched(), Scenes()
        self.waiting = 0
        router = SimpleNamespace(report=lambda: {"store": SimpleNamespace(waiting=self.waiting)})
        machine = SimpleNamespace(watcher=self.watched, cache=self.scenes, router=router, watch=self.watched.watch)
        self.watch = LeasedWatch(cast(MachineWatch, machine), cast(LeaseKeeper, self.keeper), lambda scene: 50.0)

    def watches(self, *names: str) -> bool:
        return self.watched.cameras.keys() == set(names)


@contextmanager
def nodes(*names: str) -> Iterator[list[Node]]:
    database = Database()
    found = [Node(database, name) for name in names]
    for node in found:
        node.watch.start()
    try:
        yield found
    finally:
        for node in found:
            node.watch.close()


def test_a_camera_begins_once_its_scene_is_loaded_and_its_lease_is_held() -> None:
    with nodes("a") as [node]:
        node.scenes.missing.add("yard")
        node.watch.assign({"one": GATE, "two": YARD})
        until(lambda: node.watches("one"), "it does not begin")
        until(lambda: node.watch.troubles() == {"two": "no scene yard"}, "no trouble is told of")
        assert node.watch.ready() == {"one"}
        assert node.watch.held() == {"one": 7}
        assert node.watch.fps == 50.0


def test_a_camera_that_another_node_has_begins_when_that_one_has_ended_it() -> None:
    with nodes("a", "b") as [first, second]:
        first.watch.assign({"one": GATE})
        until(lambda: first.watches("one"), "it does not begin")
        second.watch.assign({"one": GATE})
        until(lambda: second.watch.ready() == {"one"}, "its scene is not loaded")
        first.watched.lets_end = False
        first.watch.assign({})
        until(lambda: first.watches(), "it does not end")
        assert second.watches()
        assert not second.watch.held()
        first.watched.ending.clear()
        until(lambda: second.watches("one"), "the other node does not begin")


def test_a_camera_whose_lease_is_lost_ends_and_is_taken_again_once_it_has_ended() -> None:
    with nodes("a") as [node]:
        node.watch.assign({"one": GATE})
        until(lambda: node.watches("one"), "it does not begin")
        node.watched.lets_end = False
        node.keeper.lost.add("one")
        node.watch.lose(["one"])
        assert node.watches()
        node.watched.ending.clear()
        until(lambda: node.watches("one"), "it does not begin again")


def test_a_camera_is_given_back_when_its_last_events_are_in_the_store() -> None:
    with nodes("a") as [node]:
        node.watch.assign({"one": GATE})
        until(lambda: node.watches("one"), "it does not begin")
        node.waiting = 1
        node.watch.assign({})
        until(lambda: node.watches(), "it does not end")
        node.waiting = 0
        until(lambda: not node.keeper.cameras, "it is not given back")


def test_a_camera_that_cannot_be_watched_does_not_keep_others_from_it() -> None:
    with nodes("a") as [node]:
        node.watched.refused.add("one")
        node.watch.assign({"one": GATE})
        until(lambda: node.watch.troubles() == {"one": "it cannot be watched"}, "no trouble is told of")
        node.watch.assign({"one": GATE, "two": GATE})
        until(lambda: node.watches("two"), "the other one does not begin", pause=0.01)


def test_a_node_says_when_the_store_does_not_answer_it_and_when_it_does_again() -> None:
    with nodes("a") as [node]:
        node.keeper._database.answers = False
        node.watch.assign({"one": GATE})
        until(lambda: node.watch.away, "it is not told")
        node.keeper._database.answers = True
        until(lambda: node.watches("one") and not node.watch.away, "it does not begin")


def test_changed_settings_are_followed_without_a_time_in_which_the_camera_is_not_to_be_watched() -> None:
    with nodes("a") as [node]:
        node.watch.assign({"one": GATE})
        until(lambda: node.watches("one"), "it does not begin")
        changed = GATE.model_copy(update={"every": 2})
        node.watch.assign({"one": changed})
        assert node.watch.watched() == {"one": GATE}  # until the other ones are prepared
        until(lambda: node.watched.cameras == {"one": changed}, "the settings are not followed")
