"""What waits for a receiver: in order, bounded, and there after any end and on any disk."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from msflow_stream.events.alerts.queue import DeliveryQueue
from tests.events.alerts.said import dead, life, say
from tests.support.data import REPOSITORY
from tests.support.small_disk import fill, small_disk


def emptied(outbox: DeliveryQueue) -> list[tuple[str, int]]:
    """Takes everything out: ids and versions."""
    taken = []
    while (letter := outbox.first()) is not None:
        event = json.loads(letter.body)["event"]
        taken.append((event["id"], event["version"]))
        assert outbox.remove(letter)
    return taken


def filled(folder: Path, count: int, capacity: int = 10_000) -> DeliveryQueue:
    outbox = DeliveryQueue(folder, "guard", capacity)
    for number in range(count):
        outbox.put(say("open", f"e{number}"))
    return outbox


def test_messages_come_out_in_their_order(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 30)
    assert len(outbox) == 30
    assert emptied(outbox) == [(f"e{number}", 1) for number in range(30)]
    assert len(outbox) == 0
    outbox.close()


def test_a_message_stays_until_it_is_removed(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 2)
    first = outbox.first()
    assert first is not None
    assert outbox.first() is first
    assert outbox.remove(first)
    assert not outbox.remove(first)
    assert len(outbox) == 1
    outbox.close()


def test_the_next_run_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 3)
    first = outbox.first()
    assert first is not None
    outbox.remove(first)
    outbox.close()
    outbox.close()
    again = DeliveryQueue(tmp_path, "guard")
    again.put(say("open", "e3"))
    assert len(again) == 3
    assert emptied(again) == [("e1", 1), ("e2", 1), ("e3", 1)]
    again.close()


def test_an_emptied_queue_takes_new_messages(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 3)
    for _ in range(3):
        emptied(outbox)
        outbox.put(say("open", "next"))
        assert len(outbox) == 1
    assert emptied(outbox) == [("next", 1)]
    outbox.close()


def test_a_full_queue_gives_up_the_oldest_into_the_dead_letters(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 10, capacity=4)
    assert len(outbox) == 4
    assert outbox.given_up == 6
    assert dead(tmp_path / "guard.dead.jsonl") == [("the queue was full", f"e{number}", 1) for number in range(6)]
    assert emptied(outbox) == [(f"e{number}", 1) for number in range(6, 10)]
    outbox.close()


def test_what_was_given_up_while_it_was_being_delivered_is_not_removed_twice(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 2, capacity=2)
    first = outbox.first()
    assert first is not None
    outbox.put(say("open", "e2"))
    assert not outbox.remove(first)
    assert emptied(outbox) == [("e1", 1), ("e2", 1)]
    outbox.close()


def test_nothing_that_was_put_in_is_lost_by_sigkill(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom itertools import count\nfrom msflow_stream.events.alerts.queue import DeliveryQueue\n"
        "from tests.events.alerts.said import say\nbox = DeliveryQueue(pathlib.Path(sys.argv[1]), 'guard')\n"
        "for number in count():\n    box.put(say('open', f'e{number}'))\n    print(number, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 300:
            process.send_signal(signal.SIGKILL)
            break
    told = [int(line) for line in process.stdout.read().split()] or [300]
    process.stdout.close()
    process.wait()
    outbox = DeliveryQueue(tmp_path, "guard")
    found = emptied(outbox)
    outbox.close()
    assert found == [(f"e{number}", 1) for number in range(len(found))]
    assert len(found) - 1 in (told[-1], told[-1] + 1)  # the last may have been put in but not told


def test_which_events_a_receiver_follows_is_known_after_a_restart(tmp_path: Path) -> None:
    outbox = DeliveryQueue(tmp_path, "guard")
    for message in [*life("over"), say("open", "lasts"), say("open", "left")]:
        outbox.put(message)
    outbox.forget("left")
    for _ in range(2):
        assert [outbox.follows(event) for event in ("over", "lasts", "left", "other")] == [False, True, False, False]
        outbox.close()
        outbox = DeliveryQueue(tmp_path, "guard")
    outbox.close()


def test_a_full_disk_costs_nothing_but_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with small_disk(tmp_path / "disk", 2**23) as disk:
        outbox = filled(disk, 5)
        filler = fill(disk)
        for number in range(5, 400):
            outbox.put(say("open", f"e{number}"))
        taken = []
        for _ in range(50):  # which the full disk cannot note
            letter = outbox.first()
            assert letter is not None
            taken.append(json.loads(letter.body)["event"]["id"])
            outbox.remove(letter)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "full" in caplog.text
        filler.unlink()
        outbox.put(say("open", "e400"))
        outbox.close()
        again = DeliveryQueue(disk, "guard")
        left = emptied(again)
        again.close()
    assert taken == [f"e{number}" for number in range(50)]
    assert left == [(f"e{number}", 1) for number in range(50, 401)]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert outbox.given_up == 0


def test_a_disk_that_is_full_from_the_start_is_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20) as disk:
        filler = fill(disk)
        outbox = filled(disk, 3)
        assert len(outbox) == 3
        filler.unlink()
        outbox.put(say("open", "e3"))
        outbox.close()
        again = DeliveryQueue(disk, "guard")
        assert emptied(again) == [(f"e{number}", 1) for number in range(4)]
        again.close()


def test_what_finds_no_room_until_the_end_is_counted_as_given_up(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20) as disk:
        fill(disk)
        outbox = filled(disk, 3)
        outbox.close()
        assert outbox.given_up == 3


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, 50).close()
    path = tmp_path / "guard.sqlite"
    path.write_bytes(b"\xa5" * 20_000)
    outbox = filled(tmp_path, 2)
    assert emptied(outbox) == [("e0", 1), ("e1", 1)]
    outbox.close()
    assert "damaged" in caplog.text
    assert (tmp_path / "guard.sqlite.damaged").stat().st_size == 20_000


def test_a_queue_of_another_program_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "import sys, pathlib\nfrom msflow_stream.events.alerts.queue import DeliveryQueue\n"
        "from tests.events.alerts.said import say\nbox = DeliveryQueue(pathlib.Path(sys.argv[1]), 'guard')\n"
        "box.put(say('open', 'theirs'))\nprint('ready', flush=True)\nsys.stdin.read()\nbox.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        outbox = DeliveryQueue(tmp_path, "guard")
        outbox.put(say("open", "ours"))
        letter = outbox.first()
        assert letter is not None
        assert json.loads(letter.body)["event"]["id"] == "ours"
    assert "locked" in caplog.text
    outbox.put(say("open", "later"))
    assert sorted(emptied(outbox)) == [("later", 1), ("ours", 1), ("theirs", 1)]
    outbox.close()
