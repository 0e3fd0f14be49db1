from __future__ import annotations

import fcntl
import getpass
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from msflow_stream.events.store import EventStore
from msflow_stream.scenes.exchange import hidden_folder
from msflow_stream.scenes.folder import RECORD
from msflow_stream.teaching.layout import begun_file, candidate_folder, wanted_file
from msflow_stream.teaching.progress import Progress
from msflow_stream.teaching.taught import Taught
from msflow_stream.teaching.versions import Versions
from pipelines import teach
from pipelines.work import work
from pipelines.work_job import BUSY, WorkJob, fail
from tests.support.command import Command
from tests.support.events import message
from tests.support.small_scenes import small_scene, word_of

ME = getpass.getuser()
HEARD = {"live": {"alarms": True, "peak": 3.5}, "candidate": {"alarms": False, "peak": 0.25}}
FOUND = {
    "refusals": [],
    "violations": [],
    "normals": [{"event": "gate-1", "source": "gate", **HEARD}],
    "normal_scores": {
        "live": {"frames": 90, "alarms": 0, "share": 0.5},
        "candidate": {"frames": 90, "alarms": 0, "share": 0.55},
        "times": 1.1,
        "most": 1.25,
    },
    "text": ["1 of 1 events labelled normal alarm no more"],
}
MISSED = {
    **FOUND,
    "refusals": [{"event": "gate-2", "text": "gate-2 would be missed"}],
    "text": ["gate-2 would be missed"],
}


class Fitting:
    """A stand-in for the fit: what it made is there at once."""

    def __init__(self) -> None:
        self.comparison: dict[str, Any] = FOUND
        self.asked: list[str] = []
        self.interrupted = False
        self.meanwhile: Callable[[], object] | None = None

    def make_candidate(self, scene: Path, *, device: str, progress: teach.Tell, by: str) -> SimpleNamespace:
        self.asked.append(by)
        progress(Progress(stage="fitting", done=1, of=2, unit="frames"))
        if self.interrupted:
            raise KeyboardInterrupt
        if self.meanwhile is not None:
            self.meanwhile()
            self.meanwhile = None
        taught = tuple(one.id for one in Taught(scene).entries if one.label == "normal")
        shutil.rmtree(hidden_folder(scene) / "staged", ignore_errors=True)
        staged = small_scene(hidden_folder(scene) / "staged", f"taught {len(taught)}", b"taught")
        return SimpleNamespace(staged=staged, taught=taught, comparison=self.comparison)


@pytest.fixture
def fitting(monkeypatch: pytest.MonkeyPatch) -> Fitting:
    made, module = Fitting(), ModuleType("candidate")
    module.make_candidate, module.clear = made.make_candidate, lambda scene: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "msflow_stream.teaching.fitting.candidate", module)
    return made


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with EventStore("sqlite:///watched/events.db") as store:
        for id in ("gate-1", "gate-2"):
            store.save(message(id, end=9.0, version=2))
    return small_scene(Path("scenes") / "yard", "first", b"first")


def test_an_event_that_is_labelled_normal_teaches_and_the_way_back_is_as_short(
    yard: Path, fitting: Fitting, command: Command
) -> None:
    command("events", "label", "gate-1", "normal")
    done = command("scenes", "teach", "yard")
    assert done.code == 0
    assert "yard: labelled normal: 1, labelled a violation: 0" in done.out
    assert "gate-1: there is no clip of it" in done.out
    assert "version 2 of yard beside version 1: candidate" in done.out
    assert "1 of 1 events labelled normal alarm no more" in done.out
    assert word_of(yard) == "first"
    assert "version 2 of yard is live" in command("scenes", "promote", "yard").out
    assert word_of(yard) == "taught 1"
    assert command("scenes", "rollback", "yard").out == "version 1 of yard is live again\n"
    assert word_of(yard) == "first"
    assert command("scenes", "rollback", "yard", "--to", "2").code == 0
    told = command("scenes", "history", "yard").out
    assert [line.count(ME) for line in told.splitlines() if "rolled back" in line or "promoted" in line] == [1, 1, 1]
    assert "fitted with 1 taught event" in told
    assert [one.by for one in Versions(yard).entries] == ["", ME]


def test_a_comparison_is_shown_as_a_table(yard: Path, fitting: Fitting, command: Command) -> None:
    assert "no version that was compared" in command("scenes", "compare", "yard").err
    command("scenes", "teach", "yard")
    rows = [line.split("│")[1:-1] for line in command("scenes", "compare", "yard").out.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert ["gate-1", "gate", "alarms", "3.50", "silent", "0.25"] in cells
    assert ["times as before", "", "1.1 of 1.25"] in cells
    assert "no version 7" in command("scenes", "compare", "yard", "7").err


def test_a_refused_candidate_says_why_and_cannot_be_promoted(yard: Path, fitting: Fitting, command: Command) -> None:
    fitting.comparison = MISSED
    done = command("scenes", "teach", "yard")
    assert "refused" in done.out
    assert "gate-2 would be missed" in done.out
    assert "has no candidate" in command("scenes", "promote", "yard").err
    assert not candidate_folder(yard).exists()
    assert "gate-2 would be missed" in command("scenes", "compare", "yard").out


def test_a_candidate_is_not_promoted_untried_on_a_violation_unless_somebody_says_so(
    yard: Path, fitting: Fitting, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("scenes", "teach", "yard")
    monkeypatch.setattr(teach, "untried_violations", lambda scene: [SimpleNamespace(id="gate-2")])
    told = command("scenes", "promote", "yard")
    assert told.code == 2
    assert "gate-2" in told.err
    assert "gate-2" in command("scenes", "compare", "yard").out
    assert command("scenes", "promote", "yard", "--anyway").code == 0


def test_a_discarded_candidate_is_gone(yard: Path, fitting: Fitting, command: Command) -> None:
    command("scenes", "teach", "yard")
    assert command("scenes", "discard", "yard").code == 0
    assert command("scenes", "discard", "yard").code == 2


def test_an_interrupted_fit_can_go_on_and_two_at_once_cannot(yard: Path, fitting: Fitting, command: Command) -> None:
    fitting.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        teach.make(yard, device="cpu", tell=lambda progress: None)
    assert [one.number for one in Versions(yard).entries] == [1]
    with (hidden_folder(yard) / teach.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "being fitted already" in command("scenes", "teach", "yard").err


def test_a_worker_does_not_wait_for_another_program_and_a_watch_begins_none_meanwhile(
    yard: Path, fitting: Fitting
) -> None:
    assert not teach.is_being_made(yard)
    hidden_folder(yard).mkdir()
    with (hidden_folder(yard) / teach.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert teach.is_being_made(yard)
        assert work(WorkJob(kind="candidate", scene=yard)) == 0, "nothing is new by now"
        wanted_file(yard).write_text("{}")
        assert work(WorkJob(kind="candidate", scene=yard)) == BUSY
    assert fitting.asked == []
    assert Progress.read(hidden_folder(yard)) is None
    assert not teach.is_being_made(yard)


def test_who_asks_while_a_candidate_is_made_asks_for_another(yard: Path, fitting: Fitting) -> None:
    hidden_folder(yard).mkdir()
    for name in ("mira", "jon"):
        wanted_file(yard).write_text(json.dumps({"by": name}))
        fitting.meanwhile = lambda: wanted_file(yard).write_text(json.dumps({"by": "jon"}))
        assert teach.make(yard, device="cpu", tell=lambda progress: None).by == name
        assert wanted_file(yard).exists()
        assert not begun_file(yard).exists()


def test_a_candidate_that_fails_takes_with_it_what_asked_for_it_and_nothing_later(yard: Path) -> None:
    job = WorkJob(kind="candidate", scene=yard)
    hidden_folder(yard).mkdir()
    for path in (begun_file(yard), wanted_file(yard)):
        path.write_text("{}")
    fail(job, "no room")
    assert (begun_file(yard).exists(), wanted_file(yard).exists()) == (False, True)
    fail(job, "no room")
    assert not wanted_file(yard).exists()


def test_a_candidate_of_a_scene_that_has_changed_meanwhile_is_compared_with_what_is_live_now(
    yard: Path, fitting: Fitting
) -> None:
    fitting.meanwhile = lambda: (yard / RECORD).write_text((yard / RECORD).read_text() + " ")
    assert teach.make(yard, device="cpu", tell=lambda progress: None).state == "candidate"
    assert len(fitting.asked) == 2


def test_who_asked_for_a_candidate_is_known(yard: Path, fitting: Fitting) -> None:
    wanted_file(yard).parent.mkdir()
    wanted_file(yard).write_text(json.dumps({"by": "mira", "at": "2026-01-02T03:04:05+00:00"}))
    assert teach.make(yard, device="cpu", tell=lambda progress: None).by == "mira"
    assert not wanted_file(yard).exists()
    assert teach.make(yard, device="cpu", tell=lambda progress: None).by == teach.BY_RULE


@pytest.mark.parametrize("verb", ["history", "teach", "compare", "promote", "rollback", "discard"])
def test_a_scene_that_is_not_there_is_told_in_one_line(yard: Path, command: Command, verb: str) -> None:
    for name in ("nothing", "../yard"):
        done = command("scenes", verb, name)
        assert done.code == 2
        assert len(done.err.splitlines()) == 1
    assert not list(Path("scenes").glob(".*"))
    assert (yard / RECORD).exists()
