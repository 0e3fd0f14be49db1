"""An exception takes off what its event was, at its place; whatever else happens counts as if there were none."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from msflow_stream.config.settings import EventSettings
from msflow_stream.events.detection.detector import EventDetector, EventList
from msflow_stream.events.detection.triggers import Trigger
from msflow_stream.scenes.joint import Joint, Logistic
from msflow_stream.series import ScoreSmoother
from msflow_stream.teaching.exception_place import SeenFrame
from msflow_stream.teaching.exceptions import Exceptions, SoftException
from msflow_stream.types import Event, Frame, FrameScore, Motion, Scores, Track, Why
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.watch.excepting import LOOK_SECONDS, Excepting
from msflow_stream.watch.outputs.activity import ActivityLog, WatchedAs
from msflow_stream.watch.replay.activity import Activity
from msflow_stream.watch.replay.dial import Replay
from tests.support.events import REASON, event

SIZE = (64, 96)
ONE = Logistic(median=0.0, scale=1.0)
JOINT = Joint(top=ONE, mean=ONE, motion=ONE, heat=ONE)
STYLE = OverlayStyle(low=1.0, high=3.0)
COMBINED = (Trigger("combined", 6.0, 0.3),)
HERE, THERE = (slice(24, 40), slice(20, 60)), (slice(2, 12), slice(80, 94))
STEPS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
CART = event(
    triggers=("appearance", "motion"),
    why=replace(REASON, trigger="appearance", appearance=20.0, motion=10.0),
    start=1.0,
    end=3.0,
    regions=((200, 240, 400, 160),),
    tracks=(Track(1, 1.0, 3.0, ((1.0, (200, 240, 400, 160)),)),),
    peak_score=28.0,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("msflow_stream.watch.excepting.monotonic", lambda: now.seconds)
    return now


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    Exceptions(tmp_path / "gate").add_from(CART, size=(960, 640), by="anna")
    return tmp_path / "gate"


def excepting(folder: Path, camera: str = "gate", joint: Joint | None = JOINT, **changes: Any) -> Excepting:
    scene: Any = SimpleNamespace(joint=joint, settings=SimpleNamespace(event=SimpleNamespace(leave=0.8)))
    return Excepting(folder, camera, scene, changes.get("triggers", COMBINED), STYLE)


def seen(*hot: tuple[slice, slice], time: float = 1.0, **parts: Any) -> FrameScore:
    """A frame that is unusual in some places, the first of which it is most unusual in."""
    heat = np.zeros(SIZE, np.float16)
    for number, place in enumerate(hot):
        heat[place] = 9.0 - number
    rows, columns = hot[0] if hot else (slice(0, 1), slice(0, 1))
    x, y = (columns.start + columns.stop) / 2 / SIZE[1], (rows.start + rows.stop) / 2 / SIZE[0]
    why = Why(20.0, 10.0, 0.1, Motion(0.3, 0.0, 0.1, x, y), x, y)._replace(**parts)
    wall = datetime.now(UTC)
    return FrameScore("gate", "gate", 5, time, wall, Scores(0.9, 30.0, 2.0, 5.0, JOINT.combined(why)), heat, why=why)


def test_the_same_thing_again_does_not_count(gate: Path) -> None:
    counted = excepting(gate)(seen(HERE))
    assert counted.combined < 1.0
    assert counted.why is not None
    assert (counted.why.appearance, counted.why.motion) == (0.0, 0.0)
    assert counted.excepted
    assert counted.surprise == 30.0  # it is no trigger of the scene


@pytest.mark.parametrize(
    "frame",
    [
        seen(THERE),
        seen(HERE, THERE),
        seen(THERE, HERE),
        seen((slice(0, 64), slice(0, 96))),
        seen(HERE, view=0.7),
        seen(HERE, moved=Motion(0.3, 0.0, 0.1, 0.9, 0.1)),  # elsewhere, where it looks normal
        seen(HERE, x=0.9, y=0.1),
    ],
    ids=["elsewhere", "and elsewhere", "less there", "everywhere", "the view", "moves elsewhere", "looks elsewhere"],
)
def test_what_is_elsewhere_too_counts_in_full(gate: Path, frame: FrameScore) -> None:
    assert excepting(gate)(frame).scores == frame.scores


def test_what_is_stronger_counts_by_what_is_left(gate: Path) -> None:
    assert excepting(gate)(seen(HERE, appearance=40.0)).combined == pytest.approx(15.0, abs=1.7)
    assert excepting(gate)(seen(HERE, appearance=2.5, motion=22.0)).combined > 6.0


def test_a_part_that_was_normal_is_not_excepted(tmp_path: Path) -> None:
    still = replace(CART, triggers=("appearance",), why=replace(CART.why, motion=0.5))  # type: ignore[arg-type, type-var]
    Exceptions(tmp_path / "gate").add_from(still, size=(960, 640), by="anna")
    counted = excepting(tmp_path / "gate")(seen(HERE))
    assert counted.why is not None
    assert (counted.why.appearance, counted.why.motion) == (0.0, 10.0)
    assert counted.combined > 6.0


def test_what_stays_for_longer_than_the_event_counts_until_it_is_gone(gate: Path) -> None:
    at = excepting(gate)
    counts = {time: at(seen(HERE, time=time)).combined > 6.0 for time in np.arange(10.0, 20.0, 0.2).tolist()}
    assert not any(counts[time] for time in counts if time < 14.9)
    assert all(counts[time] for time in counts if time > 15.1)
    at(seen(time=20.0, appearance=0.1, motion=0.1))
    assert at(seen(HERE, time=23.0)).combined < 1.0  # it comes again


def test_what_people_change_counts_within_a_second(gate: Path, clock: SimpleNamespace) -> None:
    at, exceptions = excepting(gate), Exceptions(gate)
    assert at(seen(HERE)).combined < 1.0
    exceptions.remove(exceptions.entries[0].id)
    clock.seconds += LOOK_SECONDS
    assert at(seen(HERE)).combined > 6.0
    exceptions.add_from(CART, size=(960, 640), by="anna")
    clock.seconds += LOOK_SECONDS
    assert at(seen(HERE)).combined < 1.0


def test_it_ends_by_itself_and_counts_at_its_camera_only(gate: Path) -> None:
    late = replace(seen(HERE), wall=datetime.now(UTC) + timedelta(days=15))
    assert excepting(gate)(late) is late
    frame = seen(HERE)
    assert excepting(gate, "yard")(frame) is frame


def test_a_scene_without_a_joint_score_has_its_own_kinds_lessened(tmp_path: Path) -> None:
    old = replace(CART, triggers=("surprise",), why=None, peak_score=30.0)
    made: SoftException = Exceptions(tmp_path / "gate").add_from(old, size=(960, 640), by="anna")
    assert made.kind == "appearance"
    at = excepting(tmp_path / "gate", joint=None, triggers=(Trigger("surprise", 10.0, 2.0),))
    frame = replace(seen(HERE), why=None)
    assert at(frame).surprise == 2.0
    assert at(replace(frame, scores=frame.scores._replace(surprise=50.0))).surprise == 15.0
    elsewhere = replace(seen(THERE), why=None)
    assert at(elsewhere).scores == elsewhere.scores


def test_without_exceptions_scores_are_the_very_same(tmp_path: Path) -> None:
    frame = seen(HERE)
    assert excepting(tmp_path / "gate")(frame) is frame


@pytest.mark.parametrize("other", [{"motion": 0.2}, {"appearance": 0.2}], ids=["stands", "looks normal"])
def test_what_only_looks_or_only_moves_like_it_counts_soon(gate: Path, other: dict[str, float]) -> None:
    at = excepting(gate)
    counts = [at(seen(HERE, time=time, **other)).combined > 6.0 for time in (1.0, 1.4, 1.8, 2.2)]
    assert counts == [False, False, True, True]


def test_what_moves_for_a_while_without_looking_so_is_the_same_if_the_event_did_that_too(tmp_path: Path) -> None:
    scores = Scores(0.9, 30.0, 2.0, 5.0, 28.0)
    hidden = [SeenFrame(1.0 + step, (), scores, Why(0.5 if step < 1.2 else 20.0, 10.0, 0.1)) for step in STEPS]
    made = Exceptions(tmp_path / "gate").add_from(CART, size=(960, 640), by="anna", seen=hidden)
    assert made.unseen == pytest.approx(1.0)
    at = excepting(tmp_path / "gate")
    counts = [at(seen(HERE, time=time, appearance=0.2)).combined > 6.0 for time in (1.0, 1.4, 1.8, 2.2, 2.6, 3.4)]
    assert counts == [False, False, False, False, False, True]


@pytest.mark.parametrize(
    "other", [{"moved": Motion(0.1, 0.0, 0.1, 0.9, 0.1), "motion": 3.0}, {"x": 0.9, "appearance": 3.0}]
)
def test_what_would_not_matter_by_itself_elsewhere_does_not_end_an_exception(gate: Path, other: dict[str, Any]) -> None:
    frame = seen(HERE, **other)
    assert frame.combined > 6.0
    counted = excepting(gate)(frame)
    assert counted.combined < 3.0
    assert counted.why is not None
    assert 3.0 in (counted.why.appearance, counted.why.motion)


def test_what_is_a_little_unusual_elsewhere_counts_for_what_it_is(gate: Path) -> None:
    frame = seen(HERE)
    frame.map[THERE] = 2.5  # below what no normal frame has
    left = excepting(gate)(frame).combined
    assert 1.0 < left < 2.5


def passing(start: float, appearance: float, *hot: tuple[slice, slice]) -> list[FrameScore]:
    """Three seconds in which something comes and goes, the loudest in the middle."""
    steps = np.arange(0.0, 3.0, 0.2).tolist()
    loud = [appearance * math.sin(math.pi * (step + 0.1) / 3) for step in steps]
    return [
        seen(*hot, time=start + step, appearance=one, motion=one / 2) for step, one in zip(steps, loud, strict=True)
    ]


def test_the_dial_replays_the_detector_that_watched_at_any_threshold(gate: Path, tmp_path: Path) -> None:
    day = [
        *passing(10.0, 20.0, HERE),  # as often before
        *passing(20.0, 34.0, HERE),  # stronger than that
        *passing(30.0, 14.0, THERE),
        *passing(40.0, 20.0, HERE, THERE),
        *passing(50.0, 42.0, HERE),
    ]
    day = [replace(score, index=number) for number, score in enumerate(day)]
    settings = EventSettings(min_duration=0.2)
    log = ActivityLog(tmp_path / "out", "gate", lossless=True)
    at, smoother = excepting(gate), ScoreSmoother(0.5)
    watched = WatchedAs("gate", "fit", "{}", "combined", 0.5, STYLE.middle, settings, COMBINED)
    image = np.zeros((640, 960, 3), np.uint8)
    for score in day:
        frame = Frame("gate", score.index, None, score.time, score.wall, image)
        log.write(frame, smoother(at(score)), watched)
    log.close(30)
    frames = Activity.read(tmp_path / "out" / "activity.db").frames
    numbers = []
    for threshold in (6.0, 9.0, 14.0):
        trigger = replace(COMBINED[0], threshold=threshold)
        at, smoother, found = excepting(gate), ScoreSmoother(0.5), EventList()
        detector = EventDetector([trigger], settings, smoothing=0.5, level=STYLE.middle, size=(960, 640))
        for score in day:
            found.add(detector.update(smoother(at(score))), score.time)
        found.add(detector.close(), 60.0)
        told = Replay(frames, "gate", settings).events([trigger])
        assert [facts(one) for one in told] == [facts(one) for one in found.events]
        numbers.append(len(told))
    assert numbers[0] == 4  # but for the first, which is the exception
    assert numbers[0] > numbers[-1]


def facts(event: Event) -> tuple[object, ...]:
    return event.start, event.end, event.triggers, event.peak_score, event.regions, event.tracks, event.why
