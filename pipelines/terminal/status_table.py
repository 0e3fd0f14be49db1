"""The table in the terminal that shows how every camera is doing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from msflow_stream.logs import one_line
from msflow_stream.types import ScoreRow
from msflow_stream.video.live.states import State
from msflow_stream.watch.report import CameraReport, WatchReport

from .trend import Trend, lag_text, short_number, short_reason, size_text, span

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
class TableContext:
    """The moment, the width and the trend that a table is drawn with."""

    now: datetime
    width: int
    trend: Trend


@dataclass(frozen=True, slots=True)
class Column:
    """One column; it is cut first if `soft`, and not there in a terminal narrower than `from_width`."""

    title: str
    cell: Callable[[CameraReport, TableContext], Text]
    side: Literal["left", "right"] = "right"
    soft: bool = False
    from_width: int = 0


def line(text: str, style: str = "") -> Text:
    """A text of one line, not markup, that is cut where it is too long."""
    return Text(one_line(text), style=style, no_wrap=True, overflow="ellipsis")


def _state(camera: CameraReport, _: TableContext) -> Text:
    """The state of a camera; of one that runs and is not watched yet, the phase of its learning and its share."""
    state = camera.status.state
    if camera.phase == "watching" or state is not State.RUNNING:
        return line(f"● {state}", COLOURS[state])
    share = f" {camera.phase_done / camera.phase_of:.0%}" if camera.phase_of else ""
    return line(f"● {camera.phase}{share}", "bold red" if camera.phase == "failed" else "cyan")


def _why(camera: CameraReport, view: TableContext) -> Text:
    """The time in this state, and the trouble if there is one: in a word, or as in the log where there is room."""
    since = view.trend.since(camera.name)
    status, lasted = camera.status, "" if since is None else span((view.now - since).total_seconds())
    trouble = "" if status.fault is None else str(status.fault).replace("_", " ")
    if view.width >= WIDE and (trouble or status.state is State.FAILED):
        trouble = short_reason(status.reason)
    return line(f"{lasted} {trouble}".strip(), "yellow" if trouble else "dim")


def _rate(camera: CameraReport, view: TableContext) -> Text:
    rate = view.trend.rate(camera.name)
    return line(UNKNOWN if rate is None else f"{rate:.1f}")


def _scored(camera: CameraReport, _: TableContext) -> Text:
    return line(UNKNOWN if camera.counts is None else short_number(camera.counts.scored))


def _dropped(camera: CameraReport, view: TableContext) -> Text:
    """The number of dropped frames, and the cause of most of them."""
    dropped = camera.counts.dropped if camera.counts else {}
    if not any(dropped.values()):
        return _count(0)
    number = short_number(sum(dropped.values()))
    return line(number if view.width < NARROW else f"{number} {max(dropped, key=dropped.__getitem__)}")


def _lag(camera: CameraReport, _: TableContext) -> Text:
    lag = camera.status.lag
    return line(UNKNOWN if lag is None else lag_text(lag), "yellow" if lag is not None and lag > LATE else "")


def _score(camera: CameraReport, _: TableContext) -> Text:
    """The score that is compared with the threshold, and the threshold."""
    last = camera.last
    if last is None:
        return line(UNKNOWN)
    return line(f"{last.smoothed:.3g}/{last.threshold:.3g}", "bold red" if last.alarm else "")


def _meter(camera: CameraReport, view: TableContext) -> Text:
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


NODE = Column("node", lambda camera, _: line(camera.node or UNKNOWN), "left", soft=True)  # where there are several
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


class StatusTable:
    """Draws one report after the other, with what only several can say: rates, and how long a state lasts.

    >>> table = StatusTable()  # doctest: +SKIP
    >>> live.update(table.draw(report(), datetime.now(UTC), console.width))  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._trend = Trend()

    def draw(self, report: WatchReport, now: datetime, width: int = NARROW) -> Table:
        """The table of the next report; `width` in columns of the terminal."""
        self._trend.add(report, now)
        return status_table(report, now, width, self._trend)


def status_table(report: WatchReport, now: datetime, width: int = NARROW, trend: Trend | None = None) -> Table:
    """A row per camera, one line each, and the process below; without a trend, no rates and no spans of states."""
    if trend is None:
        trend = Trend()
        trend.add(report, now)
    view = TableContext(now, width, trend)
    columns = [column for column in COLUMNS if width >= column.from_width]
    if any(camera.node for camera in report.cameras):
        columns.insert(1, NODE)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if width >= WIDE else 0, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        # A column may be cut where it is allowed to wrap; its cells are texts that never do.
        table.add_column(column.title, justify=column.side, no_wrap=not column.soft, overflow="ellipsis")
    for camera in report.cameras:
        table.add_row(*(column.cell(camera, view) for column in columns))
    table.caption, table.caption_justify = _footer(report, now, trend), "left"
    return table


def _footer(report: WatchReport, now: datetime, trend: Trend) -> Text:
    running = sum(camera.status.state is State.RUNNING for camera in report.cameras)
    batch, scoring = trend.batch_mean(), trend.scoring_median()
    device = one_line(report.device)
    parts = [
        f"{running} of {len(report.cameras)} running",
        "no batch" if batch is None else f"batch {batch:.1f}",
        "" if scoring is None else f"scoring p50 {scoring * 1000:.0f} ms",
        f"up {span((now - report.started).total_seconds())}",
        device if report.device_bytes is None else f"{device} {size_text(report.device_bytes)}",
    ]
    return Text(" · ".join(part for part in parts if part), style="dim", no_wrap=True, overflow="ellipsis")
