"""The drift of a camera: its days beside what its scene learnt. Nothing here needs the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from msflow_stream.scenes.folder import fit_identity, read_record
from msflow_stream.scenes.footage_facts import FootageFacts
from msflow_stream.teaching.drift.creep import scores_creep
from msflow_stream.teaching.drift.days import Day, merged, read_days
from msflow_stream.teaching.drift.false_alarms import more_alarms, rate
from msflow_stream.teaching.drift.finding import DayCount, Drift, Finding, Learnt
from msflow_stream.teaching.drift.light import light_outside
from msflow_stream.teaching.drift.moved import moved_camera
from msflow_stream.types import UserError
from msflow_stream.video.view_signature import View

LOOKED_AT = timedelta(days=90)
STALE = timedelta(days=2)  # a camera that was not watched for longer has no drift today

Alarms = Iterable[tuple[datetime, str | None]]  # when an event began, and what a person said of it


def camera_drift(camera: Path, scene: Path, alarms: Alarms, today: date | None = None) -> Drift:
    """Returns the drift of a camera.

    Args:
        camera: its folder, with its days.
        scene: the folder of the scene that it is compared with.
        alarms: its events, of LOOKED_AT days at least, and their labels.
        today: the day of the machine's clock if None.
    """
    today = today or datetime.now().date()
    days = read_days(camera, today - LOOKED_AT, today)
    learnt = learnt_of(scene)
    if learnt is None or not days or today - days[-1].date > STALE:
        return Drift()
    return drift(days, learnt, alarms)


def drift(days: Sequence[Day], learnt: Learnt, alarms: Alarms) -> Drift:
    """Returns what days, oldest first, say beside what was learnt."""
    own = [one for day in days if (one := day.of(learnt.fit)).hours]
    counts = _counts(days, learnt.fit, alarms)
    found: list[Finding | None] = [
        moved_camera(own, learnt.view),
        more_alarms(counts, learnt.promised),
        light_outside(own, learnt.coverage),
        scores_creep(own, learnt.reach),
    ]
    return Drift([one for one in found if one is not None], rate(counts, learnt.promised), counts)


def learnt_of(scene: Path) -> Learnt | None:
    """Returns what is known of a scene; None where there is no such scene."""
    try:
        record = read_record(scene)
        fit = fit_identity(record)
    except (UserError, ValueError, KeyError, TypeError):
        return None
    facts = FootageFacts.read(scene)
    promised, reach = _promise(record)
    if facts is None:
        return Learnt(fit, promised, reach)
    return Learnt(fit, promised, reach, facts.coverage, View.from_json(facts.view))


def _promise(record: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """False alarms per hour, and the way from normal to the threshold."""
    calibration = record.get("calibration") or {}
    score = (record.get("settings") or {}).get("score") or {}
    kind = score.get("kind", "paper")
    basis = calibration.get("basis") or {}
    asked, supported = basis.get("asked"), basis.get("supported")
    promised = None if asked is None else max(float(asked), float(supported or 0))
    try:
        given = score.get("threshold")
        threshold = calibration["thresholds"][kind] if given is None else given
        return promised, float(threshold) - float(calibration["quantiles"][kind]["0.5"])
    except (KeyError, TypeError, ValueError):
        return promised, None


def _counts(days: Sequence[Day], fit: str, alarms: Alarms) -> list[DayCount]:
    """The alarms of each day in the hours that were watched with this fit alone."""
    labels: dict[tuple[date, int], list[str | None]] = {}
    for happened, label in alarms:
        moment = happened.astimezone()
        labels.setdefault((moment.date(), moment.hour), []).append(label)
    found = []
    for day in days:
        hours = {hour: parts for hour, parts in merged(day.hours).items() if all(part.fit == fit for part in parts)}
        if not hours:
            continue
        its = [label for hour in hours for label in labels.get((day.date, hour), [])]
        right, normal = its.count("violation"), its.count("normal")
        seconds = sum(part.seconds for parts in hours.values() for part in parts)
        found.append(DayCount(day.date, seconds / 3600, len(its) - right, len(its) - right - normal, right))
    return found
