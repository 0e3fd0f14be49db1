"""Other areas for a camera: what becomes of its alarms is estimated as truly scoring again says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from msflow_stream.events.detection.detector import EventDetector, EventList
from msflow_stream.events.detection.regions import regions_of
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.events.store import StoredEvent
from msflow_stream.model.aggregate import Maps, top_k_mean, watched
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.folder import FORMAT, RECORD, fit_identity
from msflow_stream.series import ScoreSmoother, SmoothedScore
from msflow_stream.types import SCORE_KINDS, Event, FrameScore, Scores, UserError
from msflow_stream.watch.outputs.activity_file import packed
from msflow_stream.watch.replay.activity import ActiveFrame, Activity, ActivityRun
from msflow_stream.watch.replay.areas import Alarm, Areas, check_areas, replay_areas, sentence
from msflow_stream.watch.replay.coarse_maps import cells_of, share_left
from tests.support.footage import small_settings

SIZE = (64, 96)
NORMAL, THRESHOLD = 1.12, 1.4
BEGAN = datetime(2026, 11, 1, 12, tzinfo=UTC)
SETTINGS = small_settings("score.kind=surprise", "score.smoothing=0.3")
CALIBRATION = Calibration(
    frames=100, quantiles={"surprise": {"0.5": NORMAL}}, thresholds={"surprise": THRESHOLD}, map_range=(0.3, 1.0)
)


def rectangle(left: float, top: float, right: float, bottom: float) -> tuple[tuple[tuple[float, float], ...], ...]:
    return (((left, top), (right, top), (right, bottom), (left, bottom)),)


@dataclass(frozen=True)
class Footage:
    """Maps of surprise of a camera: noise, and from 2 to 5 seconds something in places (x, y, how much, how large)."""

    places: Sequence[tuple[float, float, float, float]]
    seed: int = 0

    @cached_property
    def maps(self) -> npt.NDArray[np.float32]:
        random, (height, width) = np.random.default_rng(self.seed), SIZE
        ys, xs = np.mgrid[:height, :width]
        noise = cv2.GaussianBlur(random.normal(1, 0.6, (height, width, 40)), (0, 0), 3).transpose(2, 0, 1).copy()
        for x, y, much, large in self.places:
            far = np.hypot(xs - x * width, ys - y * height) / (large * height)
            noise[10:25] += much * np.exp(-(far**2))
        return noise.astype(np.float32)

    def scored(self, areas: Areas) -> list[tuple[SmoothedScore, npt.NDArray[np.float16]]]:
        """The frames as a camera with areas scores them, five a second, by the formulas of scenes."""
        mask, smoother, found = areas.mask(SIZE), ScoreSmoother(SETTINGS.score.smoothing), []
        for index, surprise in enumerate(self.maps):
            one = torch.from_numpy(surprise)
            inside = watched(Maps(one, one, one), torch.from_numpy(mask))
            score = float(top_k_mean(inside.surprise, SETTINGS.score.top_k))
            heat = np.where(mask, surprise - surprise[mask].min(), 0).astype(np.float16)
            scores, wall = Scores(0.0, score, float(inside.surprise.mean())), BEGAN + timedelta(seconds=index / 5)
            frame = FrameScore("gate", "yard", 5 * index, index / 5, wall, scores, heat)
            found.append((smoother(frame), heat))
        return found

    def events(self, areas: Areas) -> list[Event]:
        triggers = triggers_of(SETTINGS.event, SETTINGS.score, CALIBRATION)
        detector, events = (
            EventDetector(triggers, SETTINGS.event, smoothing=0.3, level=0.65, size=(960, 640)),
            EventList(),
        )
        for scored, _ in self.scored(areas):
            events.add(detector.update(scored), scored.score.time)
        events.add(detector.close(), 8.0)
        return events.events

    def activity(self, areas: Areas, fit: str) -> Activity:
        """What a camera with areas records of it."""
        area = json.dumps({"watch": areas.watch, "ignore": areas.ignore})
        run = ActivityRun(1, BEGAN.timestamp(), "yard", fit, area, "surprise", 0.3, 0.8, 0.65, {"surprise": 1.0}, 0)
        frames = [
            ActiveFrame(
                number,
                run,
                scored.score.wall.timestamp() if scored.score.wall else 0.0,
                scored.score.index,
                scored.score.time,
                (960, 640),
                np.array(scored.score.scores),
                np.array([scored.smoothed[kind] for kind in SCORE_KINDS]),
                regions_of(heat, 0.65, (960, 640)),
                None,
                False,
                packed(heat),
            )
            for number, (scored, heat) in enumerate(self.scored(areas))
        ]
        return Activity((run,), tuple(frames))


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    record = {
        "format": FORMAT,
        "name": "yard",
        "settings": SETTINGS.model_dump(mode="json"),
        "calibration": CALIBRATION.model_dump(mode="json"),
        "weights_sha256": "x",
    }
    (tmp_path / "yard").mkdir()
    (tmp_path / "yard" / RECORD).write_text(json.dumps(record))
    return tmp_path


def told(footage: Footage, scenes: Path, new: Areas, now: Areas | None = None) -> list[Alarm]:
    """What the replay says of the alarms that a camera raised."""
    now = now or Areas()
    record = json.loads((scenes / "yard" / RECORD).read_text())
    stored = [StoredEvent(one, one.start_wall or BEGAN, None, False) for one in footage.events(now)]
    found = replay_areas(scenes, stored, scenes, now, new, footage.activity(now, fit_identity(record)))
    return list(found.alarms)


LEFT, RIGHT = (0.25, 0.5, 3.0, 0.16), (0.75, 0.5, 3.0, 0.16)


@pytest.mark.parametrize(
    ("places", "new", "verdict"),
    [
        ([LEFT], Areas(ignore=rectangle(0, 0, 0.5, 1)), "goes"),
        ([LEFT], Areas(ignore=rectangle(0.5, 0, 1, 1)), "stays"),
        ([LEFT], Areas(watch=rectangle(0.5, 0, 1, 1)), "goes"),
        ([LEFT, RIGHT], Areas(ignore=rectangle(0, 0, 0.5, 1)), "stays"),
        ([LEFT, RIGHT], Areas(ignore=(*rectangle(0, 0.2, 0.5, 0.8), *rectangle(0.5, 0.2, 1, 0.8))), "goes"),
        ([LEFT], Areas(ignore=rectangle(0.9, 0.9, 1, 1)), "stays"),
    ],
)
def test_what_is_clear_is_told(
    places: list[tuple[float, float, float, float]], new: Areas, verdict: str, scenes: Path
) -> None:
    footage = Footage(places)
    assert [one.verdict for one in told(footage, scenes, new)] == [verdict]
    assert bool(footage.events(new)) == (verdict == "stays")


def test_it_never_says_what_scoring_again_denies(scenes: Path) -> None:
    random, outcomes = np.random.default_rng(3), Counter[tuple[str, bool]]()
    for seed in range(10):
        places = [
            (*random.uniform(0.1, 0.9, 2).tolist(), random.uniform(0.8, 4), random.uniform(0.08, 0.3))
            for _ in range(random.integers(1, 4))
        ]
        (left, top), (width, height) = random.uniform(0, 0.6, 2).tolist(), random.uniform(0.2, 0.7, 2).tolist()
        area = rectangle(left, top, min(1, left + width), min(1, top + height))
        new = Areas(ignore=area) if random.random() < 0.6 else Areas(watch=area)
        footage = Footage(places, seed)
        still = bool(footage.events(new))
        outcomes.update((one.verdict, still) for one in told(footage, scenes, new))
    wrong = outcomes["stays", False] + outcomes["goes", True]
    unknown = outcomes["unknown", False] + outcomes["unknown", True]
    assert outcomes.total() >= 6
    assert wrong == 0, outcomes
    assert unknown < outcomes.total() / 4, outcomes


def test_maps_of_the_areas_of_then_count(scenes: Path) -> None:
    now = Areas(ignore=rectangle(0.6, 0, 1, 1))
    footage = Footage([LEFT, RIGHT])
    assert [one.verdict for one in told(footage, scenes, Areas(ignore=rectangle(0, 0, 0.5, 1)), now)] == ["goes"]
    assert [one.verdict for one in told(footage, scenes, Areas(ignore=rectangle(0.55, 0, 1, 1)), now)] == ["stays"]


def test_what_cannot_be_known_is_said(scenes: Path) -> None:
    footage, new = Footage([LEFT]), Areas(ignore=rectangle(0, 0, 0.5, 1))
    stored = [StoredEvent(one, BEGAN + timedelta(seconds=one.start), None, False) for one in footage.events(Areas())]
    for activity, why in ((Activity(), "no maps"), (footage.activity(Areas(), "another"), "fitted again")):
        (alarm,) = replay_areas(scenes, stored, scenes, Areas(), new, activity).alarms
        assert alarm.verdict == "unknown"
        assert why in alarm.why
    (alarm,) = replay_areas(scenes, stored, scenes / "none", Areas(), new, Activity()).alarms
    assert alarm.why == "its scene cannot be read"


def test_privacy_changes_no_alarm(scenes: Path) -> None:
    found = told(Footage([LEFT]), scenes, Areas(privacy=rectangle(0, 0, 0.5, 1)))
    assert [one.verdict for one in found] == ["stays"]


def test_what_was_not_watched_is_noted(scenes: Path) -> None:
    now = Areas(ignore=rectangle(0.5, 0, 1, 1))
    found = replay_areas(scenes, [], scenes, now, Areas(), Activity())
    assert "nothing was watched before" in " ".join(found.notes)
    assert found.said == "There was no alarm yet that this could be tried on."


def test_areas_that_leave_nothing_are_refused(scenes: Path) -> None:
    check_areas(Areas(ignore=rectangle(0, 0, 0.5, 1)), scenes, ["yard"])
    for names in (["yard"], ["gone"], []):
        with pytest.raises(UserError, match="leave no pixel"):
            check_areas(Areas(ignore=rectangle(0, 0, 1, 1)), scenes, names)


def test_cells_share_out_all_pixels() -> None:
    mask = np.random.default_rng(0).random((70, 45)) < 0.5
    cells = cells_of(mask, (32, 32))
    assert cells.shape == (32, 32)
    assert cells.sum() == mask.sum()


def test_the_share_that_is_left_is_that_of_the_largest() -> None:
    heat = np.ones((4, 4))
    heat[0, 0], heat[3, 3] = 5.0, 3.0
    pixels = np.full((4, 4), 10.0)
    after = pixels.copy()
    after[0, 0] = 0
    assert share_left(heat, pixels, after, 1 / 16) == pytest.approx((0.46875, 0.46875), abs=0.05)
    after[0, 0] = 5
    least, most = share_left(heat, pixels, after, 1 / 16)
    assert least < 0.6
    assert most > 0.7


def test_a_sentence_tells_the_number() -> None:
    alarms = [Alarm(str(number), BEGAN, "goes" if number < 7 else "stays", "") for number in range(12)]
    assert sentence(alarms) == "7 of the last 12 alarms would not have been raised."
    assert sentence(alarms[7:]) == "All of the last 5 alarms would have been raised, too."
    assert sentence(alarms[:1]) == "The last alarm would not have been raised."
    assert (
        sentence([Alarm("a", BEGAN, "unknown", "")] * 2)
        == "It cannot be told which of the last 2 alarms would have been raised."
    )
