"""A candidate that misses a confirmed violation, learnt nothing or took normal frames for less normal is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.motion import Floats
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import NormalScore, NormalStatistics, quantiles
from msflow_stream.teaching.fitting import comparison
from msflow_stream.teaching.fitting.comparison import Heard, compared
from msflow_stream.teaching.fitting.promise import with_same_promise
from msflow_stream.teaching.taught import Taught, TaughtEvent
from msflow_stream.types import SCORE_KINDS, Scores
from tests.support.footage import small_settings
from tests.support.teaching import teach

SETTINGS = small_settings()


def normal(times: float = 1.0, count: int = 100) -> list[NormalScore]:
    """Scores of a normal clip; `times` as far from 0."""
    values = [times * (1 + (number * 37 % count) / count) for number in range(count)]
    return [NormalScore("clip", 5 * n, n / 5, Scores(*[one] * 5)) for n, one in enumerate(values)]


def calibration(threshold: float, scores: list[NormalScore]) -> Calibration:
    return Calibration(
        frames=len(scores),
        quantiles=quantiles(scores),
        thresholds=dict.fromkeys(SCORE_KINDS, threshold),
        map_range=(0.0, 1.0),
    )


@pytest.fixture(scope="module")
def live() -> Scene:
    scene = Scene.new("gate", SETTINGS)
    scene.calibration = calibration(4.0, normal())
    return scene


@pytest.fixture(scope="module")
def other(live: Scene) -> Scene:
    scene = Scene.new("gate", SETTINGS, live.pyramid)
    scene.calibration = live.calibration
    return scene


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[TaughtEvent, ...]:
    scene = tmp_path_factory.mktemp("scenes") / "gate"
    for id, label, x in (("cart", "normal", 0), ("poison", "normal", 60), ("cyclist", "violation", 62)):
        teach(scene, id, label, (), (0.1, 0.3), seconds=0.4, regions=[(x, 10, 20, 20)])  # type: ignore[arg-type]
    return Taught(scene).entries


def judged(
    monkeypatch: pytest.MonkeyPatch,
    live: Scene,
    other: Scene,
    events: tuple[TaughtEvent, ...],
    alarms: Mapping[str, tuple[bool, bool]],
    after: float = 1.0,
    peaks: tuple[float, float] = (2.0, 2.0),
    count: int = 100,
    looks: Mapping[str, Floats] | None = None,
) -> dict[str, Any]:
    """The comparison where each event alarms with the live scene, and with the candidate, or not."""

    def heard(scene: Scene, event: TaughtEvent) -> Heard:
        return Heard(alarms=alarms[event.id][scene is other], peak=peaks[scene is other])

    monkeypatch.setattr(comparison, "heard", heard)
    return compared(live, other, events, (normal(count=count), normal(after, count)), looks)


QUIET, STILL, MISSED = (True, False), (True, True), (True, False)
LOOK = "look at both labels again"
TAUGHT_WELL = {"cart": QUIET, "poison": QUIET, "cyclist": STILL}


def test_what_finds_all_violations_and_learnt_is_not_refused(
    monkeypatch: pytest.MonkeyPatch, live: Scene, other: Scene, events: tuple[TaughtEvent, ...]
) -> None:
    said = judged(monkeypatch, live, other, events, {"cart": QUIET, "poison": STILL, "cyclist": STILL})
    assert said["refusals"] == []
    assert said["text"][:3] == [
        "1 of 2 events labelled normal alarm no more",
        "poison still alarms",
        "1 of 1 events labelled a violation alarm",
    ]


def test_a_violation_that_is_missed_is_named_with_the_normal_that_is_most_like_it(
    monkeypatch: pytest.MonkeyPatch, live: Scene, other: Scene, events: tuple[TaughtEvent, ...]
) -> None:
    (refusal,) = judged(monkeypatch, live, other, events, {"cart": QUIET, "poison": QUIET, "cyclist": MISSED})[
        "refusals"
    ]
    assert (refusal["event"], refusal["like"]) == ("cyclist", "poison")
    assert "cyclist is labelled a violation, and the candidate would miss it" in refusal["text"]


@pytest.mark.parametrize("peaks", [(1.8, 1.3), (4.0, 3.0), (40.0, 3.0)], ids=["low", "high", "very high"])
def test_a_violation_that_is_much_less_unusual_now_is_named_with_how_much(
    monkeypatch: pytest.MonkeyPatch,
    live: Scene,
    other: Scene,
    events: tuple[TaughtEvent, ...],
    peaks: tuple[float, float],
) -> None:
    (refusal,) = judged(monkeypatch, live, other, events, TAUGHT_WELL, peaks=peaks)["refusals"]
    assert (refusal["event"], refusal["like"]) == ("cyclist", "poison")
    before = f"{peaks[0]:.2f}" if peaks[0] < 4 else "4 or more"
    assert f"reaches {peaks[1]:.2f} times the way to the threshold, before {before}" in refusal["text"]


@pytest.mark.parametrize("peaks", [(1.8, 1.6), (18.0, 6.0), (2.0, 9.0)], ids=["little", "far above", "more"])
def test_a_violation_may_lose_a_little_or_be_far_above_still(
    monkeypatch: pytest.MonkeyPatch,
    live: Scene,
    other: Scene,
    events: tuple[TaughtEvent, ...],
    peaks: tuple[float, float],
) -> None:
    assert not judged(monkeypatch, live, other, events, TAUGHT_WELL, peaks=peaks)["refusals"]


def test_few_normal_frames_are_said_to_tell_little(
    monkeypatch: pytest.MonkeyPatch, live: Scene, other: Scene, events: tuple[TaughtEvent, ...]
) -> None:
    little = "that rests on little: 46 normal frames were held out"
    assert little in judged(monkeypatch, live, other, events, TAUGHT_WELL, count=46)["text"]
    assert not any("rests on" in one for one in judged(monkeypatch, live, other, events, TAUGHT_WELL)["text"])


def test_the_normal_that_looks_most_like_a_missed_violation_is_named_and_raises_a_doubt(
    monkeypatch: pytest.MonkeyPatch, live: Scene, other: Scene, events: tuple[TaughtEvent, ...]
) -> None:
    looks = {"cart": np.array([1, 0], np.float32), "poison": np.array([0, 1], np.float32)}
    said = judged(
        monkeypatch, live, other, events, TAUGHT_WELL | {"cyclist": MISSED}, looks=looks | {"cyclist": looks["cart"]}
    )
    assert said["refusals"][0]["like"] == "cart"
    (doubt,) = said["doubts"]
    assert (doubt["event"], doubt["like"]) == ("cart", "cyclist")
    assert doubt["text"] == "cart is labelled normal and looks like cyclist, which is labelled a violation: " + LOOK
    assert doubt["text"] in said["text"]


def test_a_violation_that_the_live_scene_misses_too_is_only_told(
    monkeypatch: pytest.MonkeyPatch, live: Scene, other: Scene, events: tuple[TaughtEvent, ...]
) -> None:
    said = judged(monkeypatch, live, other, events, {"cart": QUIET, "poison": QUIET, "cyclist": (False, False)})
    assert said["refusals"] == []
    assert "neither scene alarms on the clips of cyclist" in said["text"]


def test_a_candidate_that_learnt_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, live: Scene, other: Scene, events: tuple[TaughtEvent, ...]
) -> None:
    (refusal,) = judged(monkeypatch, live, other, events, {"cart": STILL, "poison": STILL, "cyclist": STILL})[
        "refusals"
    ]
    assert refusal["text"] == "what is labelled normal still alarms (cart, poison)"


def test_normal_scores_that_are_wider_than_stated_are_refused(
    monkeypatch: pytest.MonkeyPatch, live: Scene, other: Scene, events: tuple[TaughtEvent, ...]
) -> None:
    alarms = {"cart": QUIET, "poison": QUIET, "cyclist": STILL}
    assert not judged(monkeypatch, live, other, events, alarms, after=1.3)["refusals"]
    (refusal,) = judged(monkeypatch, live, other, events, alarms, after=2.0)["refusals"]
    assert refusal["event"] is None
    assert "1.25 is the most" in refusal["text"]


def test_a_candidate_keeps_the_threshold_of_a_probability_and_carries_those_of_its_networks() -> None:
    before, after = normal(), NormalStatistics(normal(3.0), [])
    after.peaks = [[0.1, 0.2]] * 100  # type: ignore[list-item]
    found = with_same_promise(calibration(8.0, before), before, after, SETTINGS, fitted=False)
    assert found.thresholds["combined"] == 8.0
    assert found.thresholds["surprise"] == pytest.approx(24.0)


def test_normal_frames_that_did_not_alarm_do_not_alarm_now() -> None:
    before, after = normal(), NormalStatistics(normal(3.0), [])
    after.peaks = [[0.1, 0.2]] * 100  # type: ignore[list-item]
    found = with_same_promise(calibration(2.5, before), before, after, SETTINGS, fitted=False)
    assert found.thresholds["combined"] == after.calibration(SETTINGS.score.smoothing, 0.4).thresholds["combined"] > 2.5
