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
from tests.events.alerts.messages import a_message, dead, life
from tests.support.data import REPOSITORY
from tests.support.small_disk import fill, small_disk


def emptied(queue: DeliveryQueue) -> list[tuple[str, int]]:
    """Takes everything out: ids and versions."""
    taken = []
    while (queued := queue.first()) is not None:
        event = json.loads(queued.text)["event"]
        taken.append((event["id"], event["version"]))
        assert queue.remove(queued)
    return taken


def filled(folder: Path, count: int, capacity: int = 10_000) -> DeliveryQueue:
    queue = DeliveryQueue(folder, "guard", capacity)
    for number in range(count):
        queue.add(a_message("open", f"e{number}"))
    return queue


def test_messages_come_out_in_their_order(tmp_path: Path) -> None:
    queue = filled(tmp_path, 30)
    assert len(queue) == 30
    assert emptied(queue) == [(f"e{number}", 1) for number in range(30)]
    assert len(queue) == 0
    queue.close()


def test_a_message_stays_until_it_is_removed(tmp_path: Path) -> None:
    queue = filled(tmp_path, 2)
    first = queue.first()
    assert first is not None
    assert queue.first() is first
    assert queue.remove(first)
    assert not queue.remove(first)
    assert len(queue) == 1
    queue.close()


def test_the_next_run_goes_on_where_this_one_stopped(tmp_path: Path) -> None:
    queue = filled(tmp_path, 3)
    first = queue.first()
    assert first is not None
    queue.remove(first)
    queue.close()
    queue.close()
    again = DeliveryQueue(tmp_path, "guard")
    again.add(a_message("open", "e3"))
    assert len(again) == 3
    assert emptied(again) == [("e1", 1), ("e2", 1), ("e3", 1)]
    again.close()


def test_an_emptied_queue_takes_new_messages(tmp_path: Path) -> None:
    queue = filled(tmp_path, 3)
    for _ in range(3):
        emptied(queue)
        queue.add(a_message("open", "next"))
        assert len(queue) == 1
    assert emptied(queue) == [("next", 1)]
    queue.close()


def test_a_full_queue_gives_up_the_oldest_into_the_dead_letters(tmp_path: Path) -> None:
    queue = filled(tmp_path, 10, capacity=4)
    assert len(queue) == 4
    assert queue.given_up == 6
    assert dead(tmp_path / "guard.dead.jsonl") == [("the queue was full", f"e{number}", 1) for number in range(6)]
    assert emptied(queue) == [(f"e{number}", 1) for number in range(6, 10)]
    queue.close()


def test_what_was_given_up_while_it_was_being_delivered_is_not_removed_twice(tmp_path: Path) -> None:
    queue = filled(tmp_path, 2, capacity=2)
    first = queue.first()
    assert first is not None
    queue.add(a_message("open", "e2"))
    assert not queue.remove(first)
    assert emptied(queue) == [("e1", 1), ("e2", 1)]
    queue.close()


def test_nothing_that_was_put_in_is_lost_by_sigkill(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom itertools import count\n"
        "from msflow_stream.events.alerts.queue import DeliveryQueue\n"
        "from tests.events.alerts.messages import a_message\nbox = DeliveryQueue(pathlib.Path(sys.argv[1]), 'guard')\n"
        "for number in count():\n    box.add(a_message('open', f'e{number}'))\n    print(number, flush=True)\n"
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
    queue = DeliveryQueue(tmp_path, "guard")
    found = emptied(queue)
    queue.close()
    assert found == [(f"e{number}", 1) for number in range(len(found))]
    assert len(found) - 1 in (told[-1], told[-1] + 1)  # the last may have been put in but not told


def test_which_events_a_receiver_follows_is_known_after_a_restart(tmp_path: Path) -> None:
    queue = DeliveryQueue(tmp_path, "guard")
    for message in [*life("over"), a_message("open", "lasts"), a_message("open", "left")]:
        queue.add(message)
    queue.forget("left")
    for _ in range(2):
        assert [queue.follows(event) for event in ("over", "lasts", "left", "other")] == [False, True, False, False]
        queue.close()
        queue = DeliveryQueue(tmp_path, "guard")
    queue.close()


def test_a_full_disk_costs_nothing_but_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with small_disk(tmp_path / "disk", 2**23) as disk:
        queue = filled(disk, 5)
        filler = fill(disk)
        for number in range(5, 150):
            queue.add(a_message("open", f"e{number}"))
        taken = []
        for _ in range(30):  # which the full disk cannot note
            queued = queue.first()
            assert queued is not None
            taken.append(json.loads(queued.text)["event"]["id"])
            queue.remove(queued)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "full" in caplog.text
        filler.unlink()
        queue.add(a_message("open", "e150"))
        queue.close()
        again = DeliveryQueue(disk, "guard")
        left = emptied(again)
        again.close()
    assert taken == [f"e{number}" for number in range(30)]
    assert left == [(f"e{number}", 1) for number in range(30, 151)]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert queue.given_up == 0


def test_a_disk_that_is_full_from_the_start_is_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20) as disk:
        filler = fill(disk)
        queue = filled(disk, 3)
        assert len(queue) == 3
        filler.unlink()
        queue.add(a_message("open", "e3"))
        queue.close()
        again = DeliveryQueue(disk, "guard")
        assert emptied(again) == [(f"e{number}", 1) for number in range(4)]
        again.close()


def test_what_finds_no_room_until_the_end_is_counted_as_given_up(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20) as disk:
        fill(disk)
        queue = filled(disk, 3)
        queue.close()
        assert queue.given_up == 3


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, 50).close()
    path = tmp_path / "guard.sqlite"
    path.write_bytes(b"\xa5" * 20_000)
    queue = filled(tmp_path, 2)
    assert emptied(queue) == [("e0", 1), ("e1", 1)]
    queue.close()
    assert "damaged" in caplog.text
    assert (tmp_path / "guard.sqlite.damaged").stat().st_size == 20_000


def test_a_queue_of_another_program_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    code = (
        "import sys, pathlib\nfrom msflow_stream.events.alerts.queue import DeliveryQueue\n"
        "from tests.events.alerts.messages import a_message\nbox = DeliveryQueue(pathlib.Path(sys.argv[1]), 'guard')\n"
        "box.add(a_message('open', 'theirs'))\nprint('ready', flush=True)\nsys.stdin.read()\nbox.close()\n"
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
        queue = DeliveryQueue(tmp_path, "guard")
        queue.add(a_message("open", "ours"))
        queued = queue.first()
        assert queued is not None
        assert json.loads(queued.text)["event"]["id"] == "ours"
    assert "locked" in caplog.text
    queue.add(a_message("open", "later"))
    assert sorted(emptied(queue)) == [("later", 1), ("ours", 1), ("theirs", 1)]
    queue.close()
