"""A candidate sees a share of the live frames, only while none waits, and what both said is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.config.cameras import Camera
from msflow_stream.scenes.scene_cache import SceneCache
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.teaching.layout import candidate_folder
from msflow_stream.teaching.shadow import Shadow, shadow_folder
from msflow_stream.types import Frame, FrameScore
from msflow_stream.watch import shadowing
from msflow_stream.watch.shadowing import Shadows
from pipelines.fit import FitJob, fit
from tests.support.footage import frames, small_settings, write_clip
from tests.support.watching import until

CAMERA = Camera.model_validate({"url": "gate.mp4", "scene": "gate"})


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scene `gate`, every frame of which is an alarm, and a candidate for which none is."""
    folder = tmp_path_factory.mktemp("shadowing")
    clip = write_clip(folder, "normal", 3)
    for name, threshold in (("gate", -1.0), ("other", 1e9)):
        prompt = ("score.kind=surprise", f"score.threshold={threshold}", "score.smoothing=0")
        fit([str(clip)], folder / "scenes" / name, small_settings(*prompt), FitJob(device="cpu"))
    candidate = candidate_folder(folder / "scenes" / "gate")
    candidate.parent.mkdir(exist_ok=True)
    (folder / "scenes" / "other").rename(candidate)
    return folder / "scenes"


@dataclass
class Watched:
    """A watch of one camera."""

    folder: Path
    waiting: bool = False
    scored: list[tuple[Frame, FrameScore]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = SceneCache(self.folder, "cpu")
        self.live = self.cache.get("gate")
        seen = list(frames(60, source="gate"))
        self.scored = list(zip(seen, Scorer(self.live, "cpu")(seen), strict=True))
        self.promoted: list[Path] = []
        self.shadows = Shadows(self.cache, lambda: self.waiting, self.promoted.append, every=2)

    def show(self, frame: Frame, score: FrameScore) -> None:
        self.shadows.offer("gate", CAMERA, frame, frame, score, self.live)

    def said(self) -> Shadow | None:
        return Shadow.read(self.folder / "gate")


@pytest.fixture
def watched(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    for name, seconds in (("LOOK_SECONDS", 0.05), ("WRITE_SECONDS", 0.0), ("PATIENCE", 0.05)):
        monkeypatch.setattr(shadowing, name, seconds)
    one = Watched(Path(shutil.copytree(scenes, tmp_path / "scenes")))
    yield one
    one.shadows.close()


def shown_until(watched: Watched, true: Any) -> Shadow:
    """Shows frames, again and again, until what is said is so."""
    again = iter(watched.scored * 1000)

    def next_one() -> Shadow | None:
        watched.show(*next(again))
        said = watched.said()
        return said if said is not None and true(said) else None

    found = until(next_one, "the candidate is not compared", pause=0.02)
    assert found is not None
    return found


def test_both_are_judged_by_the_same_frames_and_what_differs_is_kept(watched: Watched) -> None:
    said = shown_until(watched, lambda said: said.frames >= 4 and said.alarms[0] >= 1)
    counts = said.cameras["gate"]
    assert (counts.only_live, counts.only_candidate) == (counts.frames, 0)
    assert said.alarms[1] == 0
    assert said.seconds > 0
    (moment, *_) = said.moments
    assert watched.folder / "gate" in watched.promoted  # the rule is asked
    assert moment.live > 1 >= moment.candidate
    assert (shadow_folder(watched.folder / "gate") / str(moment.jpeg)).read_bytes().startswith(b"\xff\xd8")


def test_it_goes_on_after_a_restart(watched: Watched) -> None:
    before = shown_until(watched, lambda said: said.frames >= 2)
    watched.shadows.close()
    again = Watched(watched.folder)
    said = shown_until(again, lambda said: said.frames > before.frames)
    again.shadows.close()
    assert said.since == before.since


def test_while_frames_wait_nothing_is_scored_for_it(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(shadowing, "score_batch", asked.append)
    watched.waiting = True
    looked: list[datetime] = []

    def quiet(shadows: Shadows) -> bool:
        looked.append(datetime.now(UTC))
        return was(shadows)

    was = Shadows._is_quiet
    monkeypatch.setattr(Shadows, "_is_quiet", quiet)
    again = iter(watched.scored * 1000)
    until(lambda: watched.show(*next(again)) or len(looked) >= 3, "no frame is offered", pause=0.02)
    assert asked == []


def test_without_a_candidate_nothing_is_kept(watched: Watched) -> None:
    shutil.rmtree(candidate_folder(watched.folder / "gate"))
    for frame, score in watched.scored:
        watched.show(frame, score)
    assert watched.shadows._offers.empty()
