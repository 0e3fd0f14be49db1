"""The comparison of a candidate with the live scene, on everything that is known: labelled events and normal frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from msflow_stream.events.detection.detector import EventDetector, EventList
from msflow_stream.events.detection.triggers import triggers_of
from msflow_stream.scenes.calibration import overlay_style
from msflow_stream.scenes.motion import Floats
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.thresholds import NormalScore, normal_record
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.series import ScoreSmoother, batched
from msflow_stream.teaching.fitting.likeness import doubts_of
from msflow_stream.teaching.fitting.taught_frames import cell_of, clip_frames, place_of, size_of
from msflow_stream.teaching.taught import TaughtEvent
from msflow_stream.types import Event

WIDEST = 1.25  # times as wide as before may the scores of normal frames be
HIGH = 0.99  # quantile of the normal scores that tells how wide they are
HARMLESS = 0.4  # of the way to the threshold, which normal scores may reach whatever they did before
MOST_LOST = 0.15  # of its height may a violation lose: what is like it was learnt then, and the next one is missed
TALL = 4.0  # thresholds above normal: what is higher counts as so high, as losing some of that puts nothing at risk
FEW = 100  # normal frames below which how wide their scores are rests on little
NEAR = 1.0  # seconds between an alarm and a violation, at most, for it to be about that


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a scene says to a labelled event.

    Attributes:
        alarms: whether an event of its own is about it.
        peak: its highest smoothed score within the span, in units of the distance from what is normal to the threshold.
    """

    alarms: bool
    peak: float


def compared(
    live: Scene,
    candidate: Scene,
    events: Sequence[TaughtEvent],
    scores: tuple[Sequence[NormalScore], Sequence[NormalScore]],
    looks: Mapping[str, Floats] | None = None,
    tell: Callable[[int], None] = lambda events: None,
) -> dict[str, Any]:
    """Returns what sets a candidate apart from the live scene, as JSON.

    A candidate is refused where it misses a violation that the live scene finds or finds it MOST_LOST less unusual,
    where not one event that is labelled normal is quiet now, and where the scores of normal frames are wider than
    WIDEST times as before.

    Args:
        live, candidate: the scenes.
        events: all that are labelled and have clips.
        scores: of both scenes, of the same normal frames.
        looks: of events by their ids, as `looks_of` returns them.
        tell: called with the number of events that are done.

    Returns:
        `refusals`: a list of `event` (None where it is about none) and `text`; `doubts`: as `doubts_of` returns them;
        `violations`, `normals`: per event what both say; `normal_scores`: how wide they are; `text`: all in sentences.
    """
    said: dict[str, list[dict[str, Any]]] = {"violation": [], "normal": []}
    for done, event in enumerate(events):
        tell(done)
        both = {"live": asdict(heard(live, event)), "candidate": asdict(heard(candidate, event))}
        said[event.label].append({"event": event.id, "source": event.source, **both})
    violations, normals, looks = said["violation"], said["normal"], looks or {}
    doubts = doubts_of(events, looks)
    width = normal_width(live, candidate, *scores)
    refusals = [
        *_missed(violations, events, looks),
        *([_nothing_learnt(normals)] if normals and all(one["candidate"]["alarms"] for one in normals) else []),
        *_wider(width),
    ]
    return {
        "refusals": refusals,
        "doubts": doubts,
        "violations": violations,
        "normals": normals,
        "normal_scores": width,
        "text": [*(one["text"] for one in (*refusals, *doubts)), *_sentences(violations, normals, width)],
    }


def heard(scene: Scene, event: TaughtEvent) -> Heard:
    """Returns what a scene says to the clips of an event, by the scorer and the detector that watch."""
    settings, rules = scene.settings.score, scene.settings.event
    scorer, smoother, found = Scorer(scene, str(scene.device)), ScoreSmoother(settings.smoothing), EventList()
    triggers = triggers_of(rules, settings, scene.calibration)
    level = overlay_style(scene.calibration, settings).middle
    detector: EventDetector | None = None
    start, end = event.span
    peak, time = 0.0, 0.0
    for some in batched(clip_frames(event, settings.every), settings.batch):
        if detector is None:
            detector = EventDetector(triggers, rules, smoothing=settings.smoothing, level=level, size=some[0][1])
        for score in scorer.score([frame for frame, _ in some]):
            scored, time = smoother(score), score.time
            found.add(detector.update(scored), time)
            if start <= time <= end and triggers:
                first = triggers[0]
                peak = max(peak, (scored.smoothed[first.kind] - (first.normal or 0.0)) / first.margin)
    if detector is not None:
        found.add(detector.close(), time)
    about = _about(event)
    return Heard(alarms=any(about(one) for one in found.events), peak=round(float(min(peak, 1e6)), 3))


def _about(labelled: TaughtEvent) -> Callable[[Event], bool]:
    """Returns what tells whether an event is about a labelled one: it was active at that time, at that place.

    A violation that is found a little sooner or later is found; an alarm beside what is normal is about something else.
    """
    slack = NEAR if labelled.label == "violation" else 0.0
    start, end = labelled.span[0] - slack, labelled.span[1] + slack
    place, size = place_of(labelled), size_of(labelled)

    def about(event: Event) -> bool:
        if event.start > end or (event.end is not None and event.end < start):
            return False
        boxes = [box for track in event.tracks for time, box in track.path if start <= time <= end]
        return not boxes or size is None or any(place[cell_of(box, size)] for box in boxes)

    return about


def normal_width(
    live: Scene, candidate: Scene, before: Sequence[NormalScore], after: Sequence[NormalScore]
) -> dict[str, Any]:
    """Returns how wide the scores of normal frames are, of both scenes."""
    both = {"live": _width(live, before), "candidate": _width(candidate, after)}
    wider = both["candidate"]["share"] / max(both["live"]["share"], HARMLESS)
    looks = 1.0
    if live.joint is not None and candidate.joint is not None:
        looks = candidate.joint.top.scale / live.joint.top.scale
    return {
        "kind": live.settings.score.kind,
        "quantile": HIGH,
        **both,
        "times": round(wider, 3),
        "appearance_times": round(looks, 3),
        "most": WIDEST,
    }


def _width(scene: Scene, scores: Sequence[NormalScore]) -> dict[str, Any]:
    kind, settings = scene.settings.score.kind, scene.settings
    record = normal_record(scores, kind, settings.score.smoothing)
    (trigger, *_) = triggers_of(settings.event, settings.score, scene.calibration)
    high = float(np.quantile(record.values, HIGH))
    lasted = normal_record(
        scores, kind, settings.score.smoothing, settings.event.min_duration, settings.event.cool_down
    )
    return {
        "high": round(high, 4),
        "threshold": round(trigger.threshold, 4),
        "share": round((high - (trigger.normal or 0.0)) / trigger.margin, 4),
        "alarms": int((lasted.values > trigger.threshold).any()),
        "frames": len(scores),
    }


def _missed(
    violations: Sequence[dict[str, Any]], events: Sequence[TaughtEvent], looks: Mapping[str, Floats]
) -> list[dict[str, Any]]:
    by_id = {event.id: event for event in events}
    normals = [event for event in events if event.label == "normal"]
    refusals = []
    for one in violations:
        what = _loss(one["live"], one["candidate"])
        if what is None:
            continue
        text = f"{one['event']} is labelled a violation, and {what}"
        like = most_like(by_id[one["event"]], normals, looks)
        if like is not None:
            text += f"; the event labelled normal that is most like it is {like.id}: look at that label again"
        refusals.append({"event": one["event"], "like": None if like is None else like.id, "text": text})
    return refusals


def _loss(live: dict[str, Any], candidate: dict[str, Any]) -> str | None:
    """What a candidate loses of a violation that the live scene finds, in words; None where that is little."""
    if not live["alarms"]:
        return None
    if not candidate["alarms"]:
        return "the candidate would miss it"
    left = candidate["peak"] / min(TALL, max(live["peak"], 1e-6))
    if left >= 1 - MOST_LOST:
        return None
    before = f"{live['peak']:.2f}" if live["peak"] < TALL else f"{TALL:g} or more"
    return (
        f"to the candidate it is {1 - left:.0%} less unusual: it reaches {candidate['peak']:.2f} times the way to the "
        f"threshold, before {before}; {MOST_LOST:.0%} is the most"
    )


def most_like(event: TaughtEvent, normals: Sequence[TaughtEvent], looks: Mapping[str, Floats]) -> TaughtEvent | None:
    """Returns the event labelled normal that looks most like another one, or else was most nearly where that was."""
    own = looks.get(event.id)

    def likeness(other: TaughtEvent) -> tuple[float, float]:
        first, second = place_of(event), place_of(other)
        its = looks.get(other.id)
        alike = -1.0 if own is None or its is None else float(own @ its)
        return alike, float((first & second).sum() / (first | second).sum())

    return max(normals, key=likeness, default=None)


def _nothing_learnt(normals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ", ".join(one["event"] for one in normals)
    return {"event": normals[0]["event"], "text": f"what is labelled normal still alarms ({names})"}


def _wider(width: dict[str, Any]) -> list[dict[str, Any]]:
    refusals = []
    if width["times"] > WIDEST:
        text = (
            f"normal frames reach {width['candidate']['share']:.0%} of the way to the threshold, {width['times']:.2f} "
            f"times as far as before; {WIDEST:g} is the most"
        )
        refusals.append({"event": None, "text": text})
    if width["appearance_times"] > WIDEST:
        text = (
            f"the surprise of normal frames spreads {width['appearance_times']:.2f} times as far as before; {WIDEST:g} "
            "is the most"
        )
        refusals.append({"event": None, "text": text})
    if width["candidate"]["alarms"] > width["live"]["alarms"]:
        refusals.append({"event": None, "text": "normal frames alarm that did not before"})
    return refusals


def _sentences(
    violations: Sequence[dict[str, Any]], normals: Sequence[dict[str, Any]], width: dict[str, Any]
) -> list[str]:
    quiet = sum(not one["candidate"]["alarms"] for one in normals)
    sentences = [f"{quiet} of {len(normals)} events labelled normal alarm no more"]
    sentences += [f"{one['event']} still alarms" for one in normals if one["candidate"]["alarms"]]
    if violations:
        found = sum(one["candidate"]["alarms"] for one in violations)
        sentences.append(f"{found} of {len(violations)} events labelled a violation alarm")
    unheard = [one["event"] for one in violations if not (one["live"]["alarms"] or one["candidate"]["alarms"])]
    if unheard:
        sentences.append(f"neither scene alarms on the clips of {', '.join(unheard)}")
    sentences.append(
        f"normal frames reach {width['candidate']['share']:.0%} of the way to the threshold, before "
        f"{width['live']['share']:.0%}"
    )
    if width["candidate"]["frames"] < FEW:
        sentences.append(f"that rests on little: {width['candidate']['frames']} normal frames were held out")
    return sentences
