"""What a dead node had to deliver: one live node takes it over, whatever dies meanwhile, and no other's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from msflow_stream.events.alerts import AlertDispatcher, AlertMessage, Retry
from msflow_stream.events.alerts.adoption import take_over
from msflow_stream.events.alerts.queue import DeliveryQueue
from msflow_stream.events.serialization import encode
from msflow_stream.files import held_lock
from msflow_stream.types import EventMessage
from tests.events.alerts.messages import QUICK, a_message, dead, life, settings
from tests.support.data import REPOSITORY
from tests.support.killed import run_killed
from tests.support.mqtt import until

NODE = """
import os, signal, sys
from pathlib import Path
from random import Random
from msflow_stream.events.alerts import AlertDispatcher, Retry
from msflow_stream.events.alerts.adoption import QUEUES
from msflow_stream.files import held_lock
from tests.events.alerts.messages import QUICK, life

def away(message):
    raise Retry("the store is away")

home = Path(sys.argv[1])
home.mkdir(parents=True)
with held_lock(home):
    dispatcher = AlertDispatcher({}, home / QUEUES, Random(0), routes={}, always={"store": away}, backoff=QUICK)
    for message in life(sys.argv[2]):
        dispatcher.publish(message, "gate")
    print("queued", flush=True)
    signal.pause()
"""


class Node:
    """A live node, whose store and alert take everything. To be closed."""

    def __init__(self, home: Path, alerts: Sequence[str] = ()) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.got, self._stack = home, list[AlertMessage](), ExitStack()
        assert self._stack.enter_context(held_lock(home))
        made: dict[str, Any] = {name: settings(type="jsonl", file=home / f"{name}.jsonl") for name in alerts}
        self.dispatcher = AlertDispatcher(
            made, home / ".alerts", Random(0), routes={}, always={"store": self.got.append}, backoff=QUICK
        )

    def take_over(self) -> list[str]:
        return take_over(self.home, self.dispatcher, lambda node: True)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispatcher.close(60)
        self._stack.close()


def left_by(home: Path, messages: Sequence[EventMessage], name: str = "store") -> None:
    """The queue of a node that has ended."""
    home.mkdir(parents=True, exist_ok=True)
    queue = DeliveryQueue(home / ".alerts", name)
    for message in messages:
        queue.add(message)
    queue.close()


def test_a_node_that_was_killed_is_taken_over_and_one_that_stands_still_is_not(tmp_path: Path) -> None:
    program = [sys.executable, "-c", NODE]
    process = subprocess.Popen(
        [*program, str(tmp_path / "a"), "gate-1"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "queued\n"
    with Node(tmp_path / "b") as node:
        process.send_signal(signal.SIGSTOP)
        assert node.take_over() == []
        process.kill()
        process.wait()
        process.stdout.close()
        assert node.take_over() == ["a"]
        until(lambda: len(node.got) == 3)
        assert node.take_over() == []
    assert node.got == life("gate-1")
    assert not (tmp_path / "a").exists()
    assert list((tmp_path / "b" / ".taken").iterdir()) == []


def test_a_node_that_has_leases_still_is_left_alone(tmp_path: Path) -> None:
    left_by(tmp_path / "a", life())
    with Node(tmp_path / "b") as node:
        assert take_over(node.home, node.dispatcher, lambda name: name != "a") == []
    assert node.got == []
    assert len(DeliveryQueue(tmp_path / "a" / ".alerts", "store")) == 3


def test_of_two_nodes_one_takes_over(tmp_path: Path) -> None:
    left_by(tmp_path / "a", life())
    with Node(tmp_path / "b") as one, Node(tmp_path / "c") as other:
        with held_lock(tmp_path / "a") as held:
            assert held
            assert one.take_over() == []
        assert other.take_over() == ["a"]
        assert one.take_over() == []
    assert (one.got, other.got) == ([], life())


def test_what_a_node_had_taken_over_and_could_not_finish_goes_on_with_it(tmp_path: Path) -> None:
    left_by(tmp_path / "a", life("first"))
    left_by(tmp_path / "b", life("second"))
    (tmp_path / "b" / ".taken").mkdir()
    (tmp_path / "a").rename(tmp_path / "b" / ".taken" / "a-1")
    with Node(tmp_path / "c") as node:
        assert node.take_over() == ["b"]
    assert node.got == life("second") + life("first")


def test_messages_are_queued_once_wherever_the_taking_over_is_killed(tmp_path: Path) -> None:
    change, killed = 0, True
    while killed:
        place = tmp_path / str(change)
        left_by(place / "a", life("gate-1"))
        (place / "b").mkdir()

        def work(place: Path = place) -> None:
            def away(message: AlertMessage) -> None:
                raise Retry("away")

            always = {"store": away}
            dispatcher = AlertDispatcher({}, place / "b" / ".alerts", Random(0), routes={}, always=always)
            take_over(place / "b", dispatcher, lambda node: True)
            dispatcher.close(0)

        killed = run_killed(work, change)
        with Node(place / "c") as third:  # the one that was killed is taken over itself
            third.take_over()
        assert third.got == life("gate-1"), change
        change += 1
    assert change > 10


def test_who_got_an_events_beginning_from_the_dead_node_gets_its_end_from_this_one(tmp_path: Path) -> None:
    alerts = {"guard": settings(type="jsonl", file=tmp_path / "said.jsonl", severity="high")}
    routes = {"gate": ["guard"]}
    first = AlertDispatcher(alerts, tmp_path / "a" / ".alerts", Random(0), routes=routes, backoff=QUICK)
    first.publish(a_message("open", severity="high"), "gate")
    first.close(60)
    (tmp_path / "b").mkdir()
    second = AlertDispatcher(alerts, tmp_path / "b" / ".alerts", Random(0), routes=routes, backoff=QUICK)
    assert take_over(tmp_path / "b", second, lambda node: True) == ["a"]
    second.publish(a_message("close", version=2, severity="low"), "gate")  # which the filter alone would not pass
    second.close(60)
    assert [json.loads(line)["kind"] for line in (tmp_path / "said.jsonl").read_text().splitlines()] == [
        "open",
        "close",
    ]


def test_dead_letters_come_along_and_what_has_no_receiver_any_more_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_by(tmp_path / "a", life("gate-1"), "gone")
    (tmp_path / "a" / ".alerts" / "store.dead.jsonl").write_text(
        json.dumps({"time": "", "reason": "refused", "message": json.loads(encode(a_message("open", "old")))}) + "\n"
    )
    left_by(tmp_path / "a", [])
    with Node(tmp_path / "b") as node:
        assert node.take_over() == ["a"]
        assert "there is no alert gone any more" in caplog.text
    assert dead(tmp_path / "b" / ".alerts" / "store.dead.jsonl") == [("refused", "old", 1)]
    assert [path.name for path in (tmp_path / "b" / ".taken").glob("*/.alerts/*.sqlite")] == ["gone.sqlite"]


def test_a_damaged_queue_holds_up_nothing(tmp_path: Path) -> None:
    left_by(tmp_path / "a", [])
    (tmp_path / "a" / ".alerts" / "store.sqlite").write_bytes(b"these are my notes" * 100)
    left_by(tmp_path / "c", life())
    with Node(tmp_path / "b") as node:
        assert node.take_over() == ["a", "c"]
    assert node.got == life()
