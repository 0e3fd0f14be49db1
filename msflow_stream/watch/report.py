"""The state of a watch at one moment: the values that metrics, health checks and the table are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msflow_stream.events.alerts.delivery import AlertReport
from msflow_stream.stream.counters import Snapshot, SourceCounts
from msflow_stream.teaching.learning import Phase
from msflow_stream.types import ScoreKind, ScoreRow
from msflow_stream.video.live.states import CameraStatus

Alive = Callable[[], str | None]  # why the process does not make progress, None where it does


@dataclass(frozen=True, slots=True)
class CameraReport:
    """The state of one camera.

    Attributes:
        name: its name, unique in a report; no credentials.
        scene: the one that it is compared with now.
        status: its reader's; the reason has no credentials, as CameraError makes them.
        counts: its frames in the stream; None before the stream knows it.
        last, last_wall: its latest score and when that frame came; None before the first.
        lost: frames that sinks could not keep, by "sink:cause", such as {"recorder:disk": 3}.
        reused: frames that showed nothing new and took the score of an earlier one.
        kind: the kind of score that is compared with its threshold.
        event: id of the event that lasts; None where none does.
        phase: watching, or what comes before that while its scene is learnt.
        phase_done, phase_of: seconds of footage or of normal scores that there are, and that are wanted.
        drift: kinds of drift; None where that was not looked at yet.
        phase_text: what holds the phase up, or why it failed, in words.
        node: the node that watches it, where there are several; "" where there is one, or it has none.
    """

    name: str
    scene: str
    status: CameraStatus
    counts: SourceCounts | None
    last: ScoreRow | None
    last_wall: datetime | None
    lost: Mapping[str, int]
    reused: int = 0
    kind: ScoreKind | None = None
    event: str | None = None
    phase: Phase = "watching"
    phase_done: float = 0.0
    phase_of: float = 0.0
    phase_text: str = ""
    drift: frozenset[str] | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class WatchReport:
    """The state of the whole process.

    Attributes:
        cameras: those watched now, in the order of the cameras file.
        started: when the watch began; with a time zone.
        stream: the counters of the stream.
        device: the one that scores, such as "cuda:0".
        device_bytes: its memory that is in use; None where that is not known.
        reloads: number of times that the cameras file was read again.
        failed_reloads: number of times that it could not be used.
        alerts: reports of the store and of each alert, by name.
    """

    cameras: tuple[CameraReport, ...]
    stream: Snapshot
    started: datetime
    device: str
    device_bytes: int | None
    reloads: int
    failed_reloads: int
    alerts: Mapping[str, AlertReport] = field(default_factory=dict)


def ready(report: WatchReport) -> list[str]:
    """Returns why the watch is not ready; empty once it is.

    It is ready once a camera has given a frame and something was scored, so that the models are loaded; where all
    cameras still learn, frames are enough. It stays so when cameras fail later: that is theirs to mend, and said by
    their states, not by a restart of this process.
    """
    if not report.cameras:
        return ["no camera is watched"]
    if all(camera.status.segment is None for camera in report.cameras):
        return ["no camera has given a picture yet"]
    if not any(report.stream.batches.values()) and any(camera.phase == "watching" for camera in report.cameras):
        return ["nothing was scored yet"]
    return []


def healthy(alive: Alive | None) -> list[str]:
    """Returns why the process should be restarted; empty while it works. A camera's trouble is no reason."""
    reason = None if alive is None else alive()
    return [] if reason is None else [reason]


def tally(counts: SourceCounts, lost: Mapping[str, int]) -> str:
    """Returns what became of a camera's frames, in words.

    >>> tally(SourceCounts(taken=9, scored=7, delivered=6, dropped={"newer frame": 3}), {"recorder:disk": 1})
    '9 frames came in, 6 delivered, 3 dropped (3 newer frame); not kept: 1 recorder:disk'
    """
    said = f"{counts.taken} frames came in, {counts.delivered} delivered, {sum(counts.dropped.values())} dropped"
    causes, kept_not = (", ".join(f"{n} {why}" for why, n in one.items() if n) for one in (counts.dropped, lost))
    return said + (f" ({causes})" if causes else "") + (f"; not kept: {kept_not}" if kept_not else "")
