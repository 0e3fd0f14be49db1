"""The columns of the table of cameras."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rich.text import Text

from msflow_stream.health.words import lag_text, short_number, short_reason, span
from msflow_stream.logs import one_line
from msflow_stream.types import ScoreRow
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import CameraReport
from pipelines.terminal.trend import Trend

NARROW, WIDE = 100, 140  # columns of a terminal from which on more is shown
LATE = 5.0  # seconds behind live that are worth a colour
BAR = 6  # columns
EIGHTHS = " ▏▎▍▌▋▊▉█"
UNKNOWN = "-"
COLOURS: Mapping[State, str] = {
    State.CONNECTING: "cyan",
    State.RUNNING: "green",
    State.STALLED: "yellow",
    State.RECONNECTING: "yellow",
    State.STOPPED: "dim",
    State.FAILED: "bold red",
}


@dataclass(frozen=True, slots=True)
class View:
    """When, how wide and with what memory the table is drawn."""

    now: datetime
    width: int
    trend: Trend


@dataclass(frozen=True, slots=True)
class Column:
    """One column; it is cut first if `soft`, and not there in a terminal narrower than `from_width`."""

    title: str
    cell: Callable[[CameraReport, View], Text]
    side: Literal["left", "right"] = "right"
    soft: bool = False
    from_width: int = 0


def line(text: str, style: str = "") -> Text:
    """A text of one line, not markup, that is cut where it is too long."""
    return Text(one_line(text), style=style, no_wrap=True, overflow="ellipsis")


def _state(camera: CameraReport, _: View) -> Text:
    return line(f"● {camera.status.state}", COLOURS[camera.status.state])


def _why(camera: CameraReport, view: View) -> Text:
    """For how long, and where there is trouble, which: in a word, or in the words of the log where there is room."""
    since = view.trend.since(camera.name)
    status, lasted = camera.status, "" if since is None else span((view.now - since).total_seconds())
    trouble = "" if status.fault is None else str(status.fault).replace("_", " ")
    if view.width >= WIDE and (trouble or status.state is State.FAILED):
        trouble = short_reason(status.reason)
    return line(f"{lasted} {trouble}".strip(), "yellow" if trouble else "dim")


def _rate(camera: CameraReport, view: View) -> Text:
    rate = view.trend.rate(camera.name)
    return line(UNKNOWN if rate is None else f"{rate:.1f}")


def _scored(camera: CameraReport, _: View) -> Text:
    return line(UNKNOWN if camera.counts is None else short_number(camera.counts.scored))


def _dropped(camera: CameraReport, view: View) -> Text:
    """How many, and the cause of most of them."""
    dropped = camera.counts.dropped if camera.counts else {}
    if not any(dropped.values()):
        return _count(0)
    number = short_number(sum(dropped.values()))
    return line(number if view.width < NARROW else f"{number} {max(dropped, key=dropped.__getitem__)}")


def _lag(camera: CameraReport, _: View) -> Text:
    lag = camera.status.lag
    return line(UNKNOWN if lag is None else lag_text(lag), "yellow" if lag is not None and lag > LATE else "")


def _score(camera: CameraReport, _: View) -> Text:
    """What is compared with the threshold, and the threshold."""
    last = camera.last
    if last is None:
        return line(UNKNOWN)
    return line(f"{last.smoothed:.3g}/{last.threshold:.3g}", "bold red" if last.alarm else "")


def _meter(camera: CameraReport, view: View) -> Text:
    """The alarm, or a bar that is full at the threshold."""
    last = camera.last
    if last is not None and last.alarm:
        return line("▲ ALARM" if view.width >= NARROW else "▲", "bold red")
    return line(bar(last) if last is not None and view.width >= NARROW else "", "green")


def bar(row: ScoreRow) -> str:
    """The smoothed score's share of the threshold, as blocks; empty where that makes no sense."""
    if not (math.isfinite(row.smoothed) and math.isfinite(row.threshold) and row.threshold > 0):
        return ""
    eighths = round(8 * BAR * min(1.0, max(0.0, row.smoothed / row.threshold)))
    return EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _count(number: int) -> Text:
    """A number of troubles."""
    return line(short_number(number), "" if number else "dim")


COLUMNS = (
    Column("camera", lambda camera, _: line(camera.name, "bold"), "left", soft=True),
    Column("scene", lambda camera, _: line(camera.scene), "left", soft=True, from_width=NARROW),
    Column("state", _state, "left"),
    Column("for", _why, "left", soft=True),
    Column("fps", _rate),
    Column("scored", _scored),
    Column("dropped", _dropped, "left", soft=True),
    Column("lag", _lag),
    Column("score", _score),
    Column("", _meter, "left"),
    Column("reconn.", lambda camera, _: _count(camera.status.reconnects), from_width=NARROW),
    Column("errors", lambda camera, _: _count(camera.status.decode_errors)),
)
