"""An output folder as a watch leaves it: a cameras file, scenes, scores over hours, and events with evidence.

Nothing is scored for it. Clips are of the synthetic scene; each of their frames says its number within the clip, in
digits, and in its corner as `coded_image` writes it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from filelock import FileLock
from scipy.signal import lfilter
from sqlalchemy import insert
from sqlalchemy.orm import Session

import msflow_stream
from msflow_stream.config.settings import Settings
from msflow_stream.datasets.synthetic import SyntheticScene
from msflow_stream.datasets.synthetic.traffic import Violation
from msflow_stream.events.evidence.event_folder import ClipFile, write_event
from msflow_stream.events.store import EventStore
from msflow_stream.events.store.tables import EventRow, event_values
from msflow_stream.scenes.calibration import Calibration, CalibrationBasis
from msflow_stream.scenes.folder import FORMAT
from msflow_stream.scenes.thresholds import (
    CalibratedKind,
    NormalScore,
    calibrate_kind,
    quantiles,
    with_thresholds,
    write_normal_scores,
)
from msflow_stream.series import smooth
from msflow_stream.types import (
    SCORE_KINDS,
    Event,
    EventMessage,
    Image,
    PartName,
    Reason,
    ScoreRow,
    Scores,
    Severity,
    Track,
)
from msflow_stream.video.drawing.jpeg import from_jpeg, to_jpeg
from tests.support.seeded_activity import write_activity
from tests.support.videos import coded_image, write_video

Floats = npt.NDArray[np.float64]

SIZE = 320, 180  # width, height
RATE, EVERY = 25, 5  # frames per second; of so many frames one is scored
LEAD, TAIL = 2.0, 1.0  # seconds of a clip before and after its event
CAUSES_SEED = 20
OLD = 86_400.0  # seconds after which what another version seeded is removed
LIVE_FRAMES = 6  # that a stand-in shows in turn
HOSTILE_SCENE = "yard <b onclick=alert(1)> \"night\" & 'day'"  # a folder may be named so
NAMES = ("gate", "yard", "hall", "dock", "lift", "roof", "ramp", "shop", "bay-9")


@dataclass(frozen=True, slots=True)
class Cause:
    """What happens again and again: where, in which way, and how long it lasts in seconds."""

    trigger: PartName
    text: str
    place: str
    at: tuple[float, float]
    severity: Severity
    score: float
    lasts: float
    velocity: tuple[float, float] | None = None
    direction: str | None = None


CAUSES = (
    Cause("motion", "moved at 0.31 widths/s where normal is at most 0.032, to the left, at the lower left; appearance "
          "normal", "at the lower left", (0.18, 0.82), "high", 7.2, 4.0, (-0.31, 0.0), "to the left"),
    Cause("appearance", "looks as one normal frame in 40,000 does, at the right; motion normal", "at the right",
          (0.85, 0.5), "medium", 5.4, 6.0),
    Cause("view", "82 % of the view looks unusual", "in the middle", (0.5, 0.5), "low", 4.9, 3.0),
    Cause("motion", "moved at 0.14 widths/s where normal is at most 0.05, upwards, at the top; appearance normal",
          "at the top", (0.48, 0.12), "medium", 5.9, 2.0, (0.0, -0.14), "upwards"),
    Cause("appearance", "looks as one normal frame in 900,000 does, at the lower right; motion normal",
          "at the lower right", (0.88, 0.86), "high", 6.6, 5.0),
)  # fmt: skip


def seeded(
    folder: Path,
    *,
    cameras: int = 3,
    events: int = 40,
    hours: float = 24.0,
    now: datetime | None = None,
    evidence: bool = True,
    labelled: float = 0.2,
    seed: int = 0,
) -> Path:
    """Builds the folder of a watch that has ended, and all around it; returns the folder that the watch wrote to.

    Args:
        folder: gets cameras.yaml, scenes/ and watched/, which is returned.
        cameras: how many, at most nine.
        events: how many in the store; the newest 60 at most have alarms in the scores and, with `evidence`, files.
        hours: of scores that each camera has recorded.
        now: when the watch ended; a moment ago if None.
        labelled: share of the events that somebody has judged.
        seed: of all that is drawn.
    """
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    names, out = NAMES[:cameras], folder / "watched"
    scenes = [HOSTILE_SCENE if number == 2 else name for number, name in enumerate(names)]
    folder.mkdir(parents=True, exist_ok=True)
    write_cameras(folder / "cameras.yaml", dict(zip(names, scenes, strict=True)))
    for name in scenes:
        write_scene(folder / "scenes" / name)
    out.mkdir(exist_ok=True)
    recent, older = _events(names, scenes, events, hours, now, np.random.default_rng(seed))
    for number, name in enumerate(names):
        own = [one for one in recent if one.source == name]
        rng = np.random.default_rng((seed, number))
        write_scores(out / name, now - timedelta(hours=hours), now, own, rng, folder / "scenes" / scenes[number])
    if evidence:
        for number, one in enumerate(recent):
            write_evidence(out / one.source / "events" / one.id, one, number % len(CAUSES))
    _store(out, [*recent, *older], labelled)
    _record(folder, out, now - timedelta(hours=hours))
    return out


def write_cameras(path: Path, scenes: dict[str, str]) -> None:
    """Writes a cameras file with comments, credentials and an alert."""
    lines = [
        "# Cameras of the yard. Ask Mira before you change addresses <script>alert('comment')</script>.",
        "defaults:",
        f"  every: {EVERY}  # five frames per second are enough",
        "  transport: tcp",
        "cameras:",
    ]
    for number, (name, scene) in enumerate(scenes.items()):
        lines += [
            f"  {name}:  # camera {number + 1}",
            f"    url: rtsp://operator:s3cret-{number}@192.0.2.{10 + number}:554/stream1",
            f"    scene: {json.dumps(scene)}",
        ]
        if number == 0:
            lines += ["    ignore:  # the flag", "      - [[0.7, 0.0], [1.0, 0.0], [1.0, 0.2], [0.7, 0.2]]"]
    lines += [
        "alerts:",
        "  # the control room",
        "  room: {type: webhook, url: 'https://room.example/hook?key=s3cret-hook'}",
    ]
    lines += ["  lines: {type: jsonl, file: told.jsonl, severity: medium}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_scene(folder: Path) -> None:
    """Writes a scene's record with its calibration and its normal scores, as fit does, but no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "name": folder.name,
        "settings": Settings().model_dump(mode="json"),
        "calibration": _calibration().model_dump(mode="json"),
        "joint": None,
        "most_motion": 0.05,
        "fit": {"sources": {"monday.mp4": 3000, "tuesday.mp4": 3000}},
        "weights_sha256": "0" * 64,
    }
    (folder / "scene.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(_made() / "normal_scores.csv", folder / "normal_scores.csv")


def normal_scores(times: Floats, rng: np.random.Generator) -> Floats:
    """Returns scores of normal frames, N x 5 in the order of SCORE_KINDS; day differs from night."""
    count = len(times)
    slow = np.sin(times / 13_000) * 0.3
    noise = lfilter([0.4], [1.0, -0.6], rng.exponential(1.0, (count, 3)), axis=0) * 0.9  # what is unusual lasts
    looks, moves = noise[:, 0] + slow * 0.2, np.maximum(noise[:, 1], 0.0)
    return np.stack(
        [
            0.031 + 0.004 * looks + 0.0003 * noise[:, 2],
            118.0 + 9.0 * looks,
            42.0 + 1.8 * looks + 0.9 * slow,
            0.22 * moves,
            np.maximum(0.3 + np.maximum(looks, moves) + 0.15 * slow, 0.01),
        ],
        axis=1,
    )


@cache
def _normal_scores() -> list[NormalScore]:
    rng, times = np.random.default_rng(7), np.arange(3000) / 2.0
    return [
        NormalScore(source, int(time * RATE), float(time), Scores(*values.tolist()))
        for source in ("monday.mp4", "tuesday.mp4")
        for time, values in zip(times, normal_scores(times, rng), strict=True)
    ]


@cache
def _made() -> Path:
    """A folder of what takes long to make: clips, normal scores and their calibration. Processes share it."""
    own = [Path(__file__), *Path(msflow_stream.__file__).parent.glob("scenes/**/*.py")]
    digest = sha256(b"".join(path.read_bytes() for path in sorted(own))).hexdigest()[:16]
    folder = Path(gettempdir()) / f"msflow-seeded-{os.getuid()}-{digest}"
    with FileLock(f"{folder}.lock"):  # who comes meanwhile waits: to make it takes seconds of CPU
        if not folder.is_dir():
            _make(folder)
    return folder


def _make(folder: Path) -> None:
    partial = Path(mkdtemp(prefix="msflow-seeded-"))
    write_normal_scores(partial, _normal_scores())
    (partial / "calibration.json").write_text(_calibrated().model_dump_json(), encoding="utf-8")
    for number in range(3):
        _clip(partial / f"clip-{number}", number)
        _live(partial / f"live-{number}", number)
    partial.rename(folder)
    for old in folder.parent.glob(f"msflow-seeded-{os.getuid()}-*"):
        if old.stem != folder.name and time.time() - old.stat().st_mtime > OLD:
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)  # of another version of what is seeded
            else:
                old.unlink(missing_ok=True)


@cache
def _calibration() -> Calibration:
    return Calibration.model_validate_json((_made() / "calibration.json").read_text(encoding="utf-8"))


def _calibrated() -> Calibration:
    """As calibrate makes it of the normal scores."""
    scores, settings = _normal_scores(), Settings()
    smoothing, gap, least = settings.score.smoothing, settings.event.cool_down, settings.event.min_duration
    found: dict[Any, CalibratedKind] = {
        kind: calibrate_kind(scores, kind, 0.2, smoothing, least, gap, np.random.default_rng(0)) for kind in SCORE_KINDS
    }
    basis = CalibrationBasis(
        created="2026-01-02T03:04:05+00:00",
        asked=0.2,
        supported=0.12,
        hours=3000 / 3600,
        sources={"monday.mp4": 3000, "tuesday.mp4": 3000},
        smoothing=smoothing,
        gap=gap,
        min_duration=least,
    )
    bare = Calibration(frames=len(scores), quantiles=quantiles(scores), thresholds={}, map_range=(120.0, 260.0))
    return with_thresholds(bare, found, basis)


def threshold() -> float:
    """The threshold of the seeded scenes."""
    return _calibration().thresholds["combined"]


def write_scores(
    folder: Path, since: datetime, until: datetime, events: Sequence[Event], rng: np.random.Generator, scene: Path
) -> None:
    """Writes a camera's scores and activity: a row a second, five around events, none in two gaps; rotated daily."""
    folder.mkdir(parents=True, exist_ok=True)
    span = (until - since).total_seconds()
    parts = [np.arange(0.0, span)]
    parts += [np.arange(one.start - LEAD - 4, (one.end or one.start) + 8, EVERY / RATE) for one in events]
    times = np.unique(np.round(np.concatenate(parts) * RATE / EVERY)) * EVERY / RATE
    gaps = [(0.31 * span, 0.31 * span + 700), (0.72 * span, 0.72 * span + 45)]
    busy = [(one.start - 20, (one.end or one.start) + 20) for one in events]
    for first, last in gaps:
        if not any(a < last and b > first for a, b in busy):
            times = times[(times < first) | (times > last)]
    times = times[(times >= 0) & (times < span)]
    scores = normal_scores(times, rng)
    for one in events:
        _raise(scores, times, one)
    smoothed = np.array(smooth(times.tolist(), scores[:, 4].tolist(), Settings().score.smoothing))
    tail = _calibration().tails["combined"]
    chance = 10 ** np.interp(smoothed, tail.scores, tail.log_probabilities)
    _write_rows(folder, since, times, scores, smoothed, chance)
    views = [from_jpeg((_made() / f"clip-{number}" / "snapshot.jpg").read_bytes()) for number in range(2)]
    write_activity(folder, scene, since, (times, scores, smoothed), events, views)


def _raise(scores: Floats, times: Floats, event: Event) -> None:
    """Makes the scores of an event's frames what they were that it was found by."""
    end = event.end or event.start + 4
    here = (times >= event.start) & (times <= end)
    shape = 0.75 + 0.25 * np.sin(np.pi * (times[here] - event.start) / max(end - event.start, 0.1))
    scores[here, 4] = event.peak_score * shape
    if "motion" in event.triggers:
        scores[here, 3] = 6.0 * shape
    else:
        scores[here, 0:3] = np.outer(shape, (0.06, 260.0, 90.0 if "view" in event.triggers else 55.0))


def _write_rows(folder: Path, since: datetime, times: Floats, scores: Floats, smoothed: Floats, chance: Floats) -> None:
    start = np.datetime64(since.replace(tzinfo=None), "ms")
    walls = start + np.round(times * 1000).astype("timedelta64[ms]")
    days = walls.astype("datetime64[D]")
    limit = threshold()
    columns = [
        np.datetime_as_string(walls).tolist(),
        np.round(times * RATE).astype(int).tolist(),
        times.tolist(),
        *scores.T.tolist(),
        smoothed.tolist(),
        (smoothed > limit).astype(int).tolist(),
        chance.tolist(),
    ]
    line = f"%sZ,%d,%.6f,%.7g,%.7g,%.7g,%.7g,%.7g,%.7g,{limit:.7g},%d,%.7g,0\n"
    rows = [line % row for row in zip(*columns, strict=True)]
    head = ",".join(["wall", *ScoreRow.COLUMNS]) + "\n"
    for day in np.unique(days):
        first, last = np.searchsorted(days, day), np.searchsorted(days, day, side="right")
        name = "scores.csv" if day == days[-1] else f"scores-{day}.csv"
        (folder / name).write_text(head + "".join(rows[first:last]), encoding="utf-8")


def _events(
    names: Sequence[str], scenes: Sequence[str], count: int, hours: float, now: datetime, rng: np.random.Generator
) -> tuple[list[Event], list[Event]]:
    """Returns events that are in the recorded hours, at most 60, and those from before, both newest first."""
    since = now - timedelta(hours=hours)
    within = min(count, 60)
    step = hours * 3600 / (within + 1)
    starts = [hours * 3600 - step * (k + 1) + rng.uniform(-0.3, 0.3) * step for k in range(within)]
    starts += [-900.0 * (k + 1) for k in range(count - within)]
    found = []
    for number, start in enumerate(starts):
        cause = number % len(CAUSES)
        camera = cause % len(names)
        found.append(_event(names[camera], scenes[camera], CAUSES[cause], round(start * 5) / 5, since, number, rng))
    return found[:within], found[within:]


def _event(
    source: str, scene: str, cause: Cause, start: float, since: datetime, number: int, rng: np.random.Generator
) -> Event:
    start_wall = since + timedelta(seconds=start)
    lasts = round(cause.lasts * rng.uniform(0.8, 1.3) * 5) / 5
    end, peak = start + lasts, start + round(lasts * 2.5) / 5
    x, y = (min(max(share + rng.uniform(-0.02, 0.02), 0.08), 0.92) for share in cause.at)
    width, height = SIZE
    box = (int((x - 0.07) * width), int((y - 0.08) * height), int(0.14 * width), int(0.16 * height))
    moved = tuple((start + k * 0.4, (box[0] + k, *box[1:])) for k in range(int(lasts / 0.4) + 1))
    stamp = start_wall.strftime("%Y%m%dT%H%M%S.") + f"{start_wall.microsecond // 1000:03d}Z"
    why = Reason(
        text=cause.text,
        trigger=cause.trigger,
        index=round(peak * RATE),
        time=peak,
        appearance=0.5 if cause.trigger == "motion" else cause.score,
        motion=cause.score if cause.trigger == "motion" else 0.3,
        view=0.82 if cause.trigger == "view" else 0.06,
        place=cause.place,
        at=(round(x, 3), round(y, 3)),
        direction=cause.direction,
        velocity=cause.velocity,
        speed=None if cause.velocity is None else abs(sum(cause.velocity)),
        limit=None if cause.velocity is None else 0.032,
    )
    return Event(
        id=f"{source}-{stamp}-{number * 2654435761 % 2**32:08x}",
        source=source,
        scene=scene,
        triggers=(cause.trigger,),
        start=start,
        end=end,
        start_wall=start_wall,
        end_wall=since + timedelta(seconds=end),
        peak_score=cause.score * float(rng.uniform(0.95, 1.15)),
        peak_index=round(peak * RATE),
        peak_time=peak,
        probability=float(10**-cause.score),
        severity=cause.severity,
        regions=(box,),
        tracks=(Track(1, start, end, moved),),
        version=4,
        why=why,
    )


def write_evidence(folder: Path, event: Event, cause: int) -> None:
    """Writes the clip, the overlay, the snapshots and event.json of an event; those of a cause look alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (_made() / f"clip-{cause % 3}").iterdir():
        shutil.copyfile(path, folder / path.name)
    begin, end = event.start - LEAD, (event.end or event.start) + TAIL
    evidence = {
        "clips": [asdict(ClipFile("clip.mp4", begin, end, True))],
        "overlays": [asdict(ClipFile("overlay.mp4", begin, end, False))],
        "notes": [],
    }
    write_event(folder, EventMessage("close", event), evidence)


def _clip(folder: Path, number: int) -> None:
    """Makes files to copy: clips of 8 s, which events of any length share."""
    folder.mkdir()
    images = list(footage(number, 8.0))
    write_video(folder / "clip.mp4", images=images, keyframe_every=25, container_options={"movflags": "+faststart"})
    heat = [_heated(image, k / len(images)) for k, image in enumerate(images) if k % EVERY == 0]
    write_video(
        folder / "overlay.mp4",
        images=heat,
        rate=RATE // EVERY,
        keyframe_every=5,
        container_options={"movflags": "+faststart"},
    )
    middle = len(images) // 2
    (folder / "snapshot.jpg").write_bytes(to_jpeg(images[middle]))
    (folder / "snapshot_overlay.jpg").write_bytes(to_jpeg(heat[middle // EVERY]))


def _live(folder: Path, number: int) -> None:
    """Makes frames of a camera for the stand-in of a watch."""
    folder.mkdir()
    scene = SyntheticScene(640, 360, seed=CAUSES_SEED + number)
    for index in range(LIVE_FRAMES):
        (folder / f"{index}.jpg").write_bytes(to_jpeg(scene.frame(index * 5).image))


def live_frame(number: int, sequence: int) -> Image:
    """A frame of the camera with that number, which moves on with the sequence."""
    path = _made() / f"live-{number % 3}" / f"{sequence % LIVE_FRAMES}.jpg"
    return from_jpeg(path.read_bytes())


def footage(seed: int, seconds: float, size: tuple[int, int] = SIZE) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields frames of a synthetic scene in which something is wrong in the middle; each says its number."""
    scene = SyntheticScene(*size, seed=CAUSES_SEED + seed)
    kinds: Any = ("cart", "cyclist", "skater")
    wrong = [Violation(kinds[seed % 3], 0.2 * seconds, 0.8 * seconds)]
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for index in range(round(seconds * RATE)):
        if index % 8 == 0:  # drawing is slow; numbers are not
            image = scene.frame(index, wrong).image
        yield numbered(image, index)


def numbered(image: npt.NDArray[np.uint8], index: int) -> npt.NDArray[np.uint8]:
    """The frame with its number in its corner, in digits and in code."""
    image = np.ascontiguousarray(image).copy()
    image[:24, :32] = coded_image(index % 1024, (32, 24))
    cv2.putText(image, str(index), (38, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, str(index), (38, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def _heated(image: npt.NDArray[np.uint8], share: float) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    heat = np.zeros((height, width), np.float32)
    cv2.circle(heat, (int(width * (0.2 + 0.6 * share)), int(height * 0.62)), height // 6, 1.0, -1)
    heat = cv2.GaussianBlur(heat, (0, 0), height / 18)[..., None]
    drawn = (image * (1 - 0.6 * heat) + np.array([255, 60, 0]) * 0.6 * heat).astype(np.uint8)
    drawn = np.ascontiguousarray(drawn)
    drawn[height - 8 :] = 30
    drawn[height - 8 :, : int(width * (0.3 + 0.6 * np.sin(np.pi * share)))] = (230, 60, 40)
    return drawn


def _store(out: Path, events: Sequence[Event], labelled: float) -> None:
    """Fills the store in one transaction."""
    every = round(1 / labelled) if labelled else 0
    labels = ("normal", "violation")
    rows = []
    for number, event in enumerate(events):
        judged = every and number % every == every - 1
        values = {**event_values(event), "happened": event.start_wall, "kept": number % 17 == 3}
        rows.append({**values, "label": labels[number // every % 2] if judged else None})
    with EventStore(f"sqlite:///{out / 'events.db'}") as store:
        store.open()
        with Session(store._engine) as session, session.begin():
            session.execute(insert(EventRow), rows)


def _record(folder: Path, out: Path, started: datetime) -> None:
    """Writes what the watch said of itself; it does not run any more."""
    values = {
        "version": 1,
        "pid": 4_194_303,
        "socket": str(out.absolute() / ".watch.sock"),
        "cameras": str(folder.absolute() / "cameras.yaml"),
        "scenes": str(folder.absolute() / "scenes"),
        "started": started.isoformat(),
        "http": "127.0.0.1:9840",
    }
    (out / ".watch.json").write_text(json.dumps(values), encoding="utf-8")


def hostile(event: Event, text: str) -> Event:
    """The event with such a text in all its words."""
    assert event.why is not None
    return replace(event, scene=text, why=replace(event.why, text=text, place=text, direction=text))
