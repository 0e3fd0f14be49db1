"""A folder as people have one: a scene, a store of events, and somebody who may sign in."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from msflow_stream.events.store import EventStore
from msflow_stream.teaching.progress import Progress
from msflow_stream.web.access.roles import Role
from pipelines import teach
from tests.support.events import REASON, message
from tests.support.small_scenes import small_scene
from tests.web.access.people import PASSWORD, accounts_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    small_scene(Path("scenes") / "yard", "first", b"first")
    with EventStore("sqlite:///watched/events.db") as store:
        store.save(message("gate-1", end=12.75, version=9, probability=2e-7, why=REASON))
        store.save(message("gate-2"))
        store.label("gate-1", "violation", note="with a\ttab\nand a second line")
        accounts_of(store).add("ann", PASSWORD, Role.OPERATOR, ["gate", "yard"], "a test")
    return tmp_path


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidate that is fitted for the scene shows a bar, and is refused."""

    def make(scene: Path, *, device: str, tell: teach.Tell, by: str) -> SimpleNamespace:
        tell(Progress(stage="fitting", done=1, of=2, unit="frames"))
        return SimpleNamespace(number=2, base=1, state="refused", comparison={"text": ["gate-1 would be missed"]})

    monkeypatch.setattr(teach, "make", make)
