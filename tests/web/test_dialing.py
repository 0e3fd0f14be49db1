"""Dials in the background: few are held, and what nobody waits for is left undone."""

from __future__ import annotations

import threading

import pytest

from msflow_stream.types import UserError
from msflow_stream.web.console import dialing
from msflow_stream.web.console.dialing import HELD, MOST_OF_ONE, MOST_WAITING, Desk, Job, Progress, Values
from tests.support.watching import until


def answer(_: Progress) -> Values:
    return {"said": "done"}


def test_only_so_many_works_wait_and_so_many_results_are_held() -> None:
    desk, go_on = Desk(), threading.Event()

    def slow(_: Progress) -> Values:
        go_on.wait(10)
        return {}

    jobs = [desk.ask(number, slow, f"person {number}") for number in range(MOST_WAITING)]
    assert desk.ask(0, slow) is jobs[0]
    with pytest.raises(UserError, match="try again"):
        desk.ask("one more", slow)
    go_on.set()
    until(lambda: all(job.over for job in jobs), "they go on")
    desk.ask("one more", answer)
    assert sum(job.over for job in desk._jobs.values()) <= HELD + 1


def test_one_person_does_not_keep_the_others_waiting() -> None:
    desk, go_on = Desk(), threading.Event()

    def slow(_: Progress) -> Values:
        go_on.wait(10)
        return {}

    for number in range(50):
        desk.ask(number, slow, "vic")
    assert sum(not job.over for job in desk._jobs.values()) <= MOST_OF_ONE + 1  # which runs
    job = desk.ask("mine", answer, "ann")
    go_on.set()
    until(lambda: job.over, "it waits")


def test_what_nobody_asks_for_any_longer_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, go_on, done = Desk(), threading.Event(), []

    def slow(_: Progress) -> Values:
        go_on.wait(10)
        return {}

    def work(_: Progress) -> Values:
        done.append(1)
        return {}

    desk.ask("running", slow)
    until(lambda: desk._worker._work_queue.empty(), "it does not begin")
    left: Job = desk.ask("left", work)
    monkeypatch.setattr(dialing, "GIVEN_UP", -1.0)
    last = desk.ask("last", answer)
    assert left.work is not None
    assert left.work.cancelled()
    go_on.set()
    until(lambda: last.over, "it goes on")
    assert done == []
