"""The supervisor begins each piece of work once, and what a camera waits for before candidates."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipelines import supervisor
from pipelines.supervisor import Supervisor
from pipelines.work_job import BUSY, WorkJob
from tests.support.watching import until


class Round:
    """Knows that a candidate is wanted, as of a while ago, until it is told that it is made."""

    def __init__(self, *known: WorkJob) -> None:
        self.known, self.rounds = known, 0

    def __call__(self) -> bool:
        self.rounds += 1
        return False

    def wanted(self) -> tuple[WorkJob, ...]:
        return self.known

    def done(self, made: WorkJob) -> None:
        self.known = tuple(one for one in self.known if one != made)

    def close(self) -> None:
        pass


class Workers:
    """Stand-ins for worker processes: what they do goes on until they are ended, or it is done at once.

    Attributes:
        begun: the jobs, in their order.
        code: how those that begin from now on end; None: not by themselves.
    """

    def __init__(self, code: int | None = None) -> None:
        self.begun: list[WorkJob] = []
        self.ended: list[WorkJob] = []
        self.lifted: list[WorkJob] = []
        self.code = code

    def __call__(self, job: WorkJob) -> SimpleNamespace:
        self.begun.append(job)
        end = lambda: self.ended.append(job)  # noqa: E731
        lift = lambda: self.lifted.append(job)  # noqa: E731
        nothing = lambda: None  # noqa: E731
        facts = {"job": job, "code": self.code, "paused": False, "cpu_seconds": 0.01}
        return SimpleNamespace(**facts, end=end, lift=lift, pause=nothing, go_on=nothing)


def watcher(**scenes: Any) -> Any:
    """A watch whose cameras are each compared with the scene of their name; `scenes` says which are to be learnt."""
    cameras = {name: SimpleNamespace(scenes=(name,), scene_name=name, learn=learn) for name, learn in scenes.items()}
    report = SimpleNamespace(cameras=tuple(SimpleNamespace(name=name, phase=None) for name in scenes))
    return SimpleNamespace(cameras=cameras, advance=lambda: None, report=lambda: report, refresh=lambda: None)


@pytest.mark.parametrize("code", [0, BUSY])
def test_a_candidate_that_is_made_here_or_elsewhere_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    job, workers = WorkJob(kind="candidate", scene=tmp_path / "gate"), Workers(code)
    monkeypatch.setattr(supervisor, "WorkerProcess", workers)
    monkeypatch.setattr(supervisor, "Governor", lambda: SimpleNamespace(look=lambda report, working: True))
    teaching = Round(job)
    with Supervisor(watcher(gate=None), tmp_path, "cpu", cast(Any, teaching), look=0.01):
        until(lambda: teaching.rounds >= 6, "it makes no rounds")
    assert workers.begun == [job]


def test_a_candidate_waits_for_a_camera_that_is_to_be_learnt_and_goes_on_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, first = WorkJob(kind="candidate", scene=tmp_path / "gate"), WorkJob(kind="fit", scene=tmp_path / "yard")
    workers, phases = Workers(), {"yard": "learning"}
    monkeypatch.setattr(supervisor, "WorkerProcess", workers)
    monkeypatch.setattr(supervisor, "Governor", lambda: SimpleNamespace(look=lambda report, working: False))
    monkeypatch.setattr(supervisor, "phase_of", lambda scene: phases[scene.name])
    replaced = replace(candidate, device="cpu"), replace(first, device="cpu")
    with Supervisor(watcher(gate=None, yard=object()), tmp_path, "cpu", cast(Any, Round(replaced[0])), look=0.01):
        until(lambda: workers.begun == [replaced[0]], "the candidate is not begun")
        workers.code, phases["yard"] = 0, "fitting"
        until(lambda: replaced[1] in workers.begun, "the fit waits for the candidate, which stands still")
        assert workers.ended[0] == replaced[0]
        phases["yard"] = "watching"
        until(lambda: workers.begun[-1] == replaced[0], "the candidate is not gone on with")


def test_work_that_gets_no_time_between_many_pauses_is_lifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, workers, looks = WorkJob(kind="candidate", scene=tmp_path / "gate"), Workers(), count()
    monkeypatch.setattr(supervisor, "WorkerProcess", workers)
    monkeypatch.setattr(supervisor, "STARVED", 0.05)
    monkeypatch.setattr(
        supervisor, "Governor", lambda: SimpleNamespace(look=lambda report, working: next(looks) % 3 == 0)
    )
    with Supervisor(watcher(gate=None), tmp_path, "cpu", cast(Any, Round(job)), look=0.01):
        until(lambda: job in workers.lifted, "it starves")
