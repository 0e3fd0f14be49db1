"""The activity.db of a seeded camera, as its watch would have recorded it beside the scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from msflow_stream.config.settings import Settings
from msflow_stream.events.detection.triggers import Trigger, triggers_of
from msflow_stream.scenes.calibration import Calibration, overlay_style
from msflow_stream.scenes.folder import fit_identity, read_record
from msflow_stream.series import SmoothedScore
from msflow_stream.types import SCORE_KINDS, Event, Frame, FrameScore, Image, Scores, Why
from msflow_stream.watch.outputs.activity import ActivityLog, WatchedAs
from msflow_stream.watch.replay.floors import lowest_triggers

Floats = npt.NDArray[np.float64]

CELLS = 24, 32  # of a map
AFTER = 4  # frames that follow what matters


def write_activity(
    folder: Path,
    scene: Path,
    start: datetime,
    rows: tuple[Floats, Floats, Floats],
    events: Sequence[Event],
    views: Sequence[Image],
) -> None:
    """Writes what a watch would have, by rows of times, scores (N x 5) and smoothed scores of the combined kind.

    `views` are what the camera shows, in turn.
    """
    times, scores, smoothed = rows
    watched = _watched(scene)
    (lowest,) = watched.lowest
    matters = smoothed >= lowest.release_level(watched.settings.leave)
    kept = np.flatnonzero(np.convolve(matters, np.ones(AFTER + 1))[: len(matters)] > 0)
    log = ActivityLog(folder, folder.name, lossless=True)
    random = np.random.default_rng(len(times))
    for row in kept.tolist():
        time = float(times[row])
        whys = [one.why for one in events if one.why is not None and one.start <= time <= (one.end or one.start)]
        at = whys[0].at if whys else tuple(random.uniform(0.1, 0.9, 2).tolist())
        wall, values = start + timedelta(seconds=time), Scores(*scores[row].tolist())
        score = FrameScore(
            folder.name, scene.name, round(time * 25), time, wall, values, _map(at), why=_why(values, at)
        )
        named = dict(zip(SCORE_KINDS, [*values[:4], float(smoothed[row])], strict=True))
        frame = Frame(folder.name, score.index, None, time, wall, views[row % len(views)])
        log.write(frame, SmoothedScore(score, named), watched)
    log.close(60)


def _watched(scene: Path) -> WatchedAs:
    content = read_record(scene)
    settings, calibration = (
        Settings.model_validate(content["settings"]),
        Calibration.model_validate(content["calibration"]),
    )
    triggers = triggers_of(settings.event, settings.score, calibration)
    return WatchedAs(
        scene=scene.name,
        fit=fit_identity(content),
        area=json.dumps({"watch": [], "ignore": []}),
        kind=settings.score.kind,
        smoothing=settings.score.smoothing,
        level=overlay_style(calibration, settings.score).middle,
        settings=settings.event,
        lowest=_lowest(scene, settings, triggers),
    )


def _lowest(scene: Path, settings: Settings, triggers: tuple[Trigger, ...]) -> tuple[Trigger, ...]:
    return lowest_triggers(scene, settings, triggers)


def _why(values: Scores, at: tuple[float, ...]) -> Why:
    return Why(appearance=values.combined, motion=0.3, view=0.06, moved=None, x=at[0], y=at[1])


def _map(at: tuple[float, ...]) -> npt.NDArray[np.float16]:
    """A map that is unusual at one place."""
    y, x = np.mgrid[: CELLS[0], : CELLS[1]]
    far = ((x + 0.5) / CELLS[1] - at[0]) ** 2 + ((y + 0.5) / CELLS[0] - at[1]) ** 2
    return (100 + 220 * np.exp(-far / 0.008)).astype(np.float16)
